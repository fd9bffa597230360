"""Jobs of arq, 0.26 to 0.28: one sorted set a queue, one key a job, usually a pickle."""
