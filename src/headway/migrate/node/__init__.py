"""Reads what a Node program says of its queues of BullMQ or Bull, and samples its jobs; writes Python stubs and a map.

`tokens` and `values` read plain TypeScript and JavaScript, `reading` finds declarations, `sampling` asks the Redis,
`shapes` makes types of payloads, `stubs` writes. The code is read, never run.
"""
