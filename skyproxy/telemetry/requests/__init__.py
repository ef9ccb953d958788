"""The last requests, each with its timeline, and the plain words for what happened to it."""
