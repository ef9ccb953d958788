"""One request's way: what it asks, who may answer it, how the answer goes down."""
