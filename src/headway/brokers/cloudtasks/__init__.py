"""The carrier `cloudtasks://`: Google Cloud Tasks keeps the waiting jobs and pushes them to a receiver."""
