"""Payloads too large for a carrier: kept in a folder or a bucket, named by a reference, and pruned."""
