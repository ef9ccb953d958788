"""What people do to a running skyproxy: each action, what it changes, and how it is undone or kept."""
