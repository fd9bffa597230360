"""The connections to Redis: opened, shared by all tasks, lent to blocking callers, cut and made again."""
