"""What the last requests would have been like under other settings: pure functions of what was recorded of them."""
