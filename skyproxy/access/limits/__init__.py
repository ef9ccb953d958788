"""How much a client may ask for in a minute, and at once."""
