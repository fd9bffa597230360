"""Bringing jobs along from another system: read there, mapped to tasks, moved one by one, and back again."""
