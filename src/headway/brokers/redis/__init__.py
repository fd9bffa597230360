"""The Redis carrier: workers that pull, from one server, a Sentinel group or a Cluster; also on Valkey."""
