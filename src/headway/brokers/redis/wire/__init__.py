"""The connections to Redis: opened, shared by all tasks, one more for blocking callers, cut and made again."""
