"""Carriers: what accepts, keeps and hands out jobs."""
