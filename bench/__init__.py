"""The benchmark suite: what Headway and other job systems do with the same work on the same machine."""
