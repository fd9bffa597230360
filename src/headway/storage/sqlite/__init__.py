"""SQLite files: whether one is still the one that was opened, and who keeps it from others."""
