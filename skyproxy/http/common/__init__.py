"""What both sides and both versions of HTTP share."""
