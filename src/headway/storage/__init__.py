"""What several rooms need of one server or file: Redis by TCP or HTTP, SQLite files, patience with failures."""
