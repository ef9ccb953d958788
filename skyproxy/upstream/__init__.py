"""Providers and what guards them: limits, retries, breakers, keys, and the client that carries a request."""
