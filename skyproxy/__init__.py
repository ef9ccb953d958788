"""skyproxy: an event-driven proxy for large-language-model traffic, on Twisted."""

__version__ = "0.1.0"
