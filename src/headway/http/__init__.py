"""HTTP/1.1 as several rooms need it: the least of a client, and servers of ours with uvicorn."""
