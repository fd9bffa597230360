"""The API as tools for assistants, by the Model Context Protocol: `headway mcp`."""
