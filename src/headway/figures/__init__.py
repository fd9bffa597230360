"""What happened to jobs, in numbers that add up: per minute, queue, task and carrier."""
