"""When scheduled tasks run: cron expressions, intervals, missed fire times. Pure."""
