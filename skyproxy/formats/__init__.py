"""What providers write, read and written as data: nothing here waits, or knows a connection."""
