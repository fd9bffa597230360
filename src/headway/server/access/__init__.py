"""Who may do what: API keys, roles, scopes, limits, and the log of what was done."""
