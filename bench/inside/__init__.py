"""What runs inside a peer's own environment: the standard library only, Python 3.11."""
