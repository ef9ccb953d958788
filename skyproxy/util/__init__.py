"""Mechanisms that many packages need, each in one place; they know of nothing else here but the clock."""
