"""Servers that keep small things, called over a network: patience with their failures, and Redis by TCP or by HTTP."""
