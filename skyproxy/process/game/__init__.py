"""Serving while a game runs."""
