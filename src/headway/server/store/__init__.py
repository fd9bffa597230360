"""What the server itself keeps: keys, the audit log, answers to be repeated, acts under way."""
