"""What requests cost and what became of them, kept over restarts."""
