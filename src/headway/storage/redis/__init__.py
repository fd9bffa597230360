"""A Redis for small things: scripts and commands, by TCP or by HTTP, and its errors in words."""
