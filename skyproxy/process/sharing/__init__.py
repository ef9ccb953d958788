"""Limits that are shared with other machines, by a Redis."""
