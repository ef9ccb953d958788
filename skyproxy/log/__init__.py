"""The log: events, their forms, the thread that writes them."""
