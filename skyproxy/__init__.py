"""skyproxy: an event-driven proxy for large-language-model traffic, on Twisted."""
