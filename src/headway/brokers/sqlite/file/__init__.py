"""The file: its connections and threads, its tables, who watches it, and what happens when it is lost."""
