"""What users declare and call: apps, tasks, options, handles, and what is known of a job."""
