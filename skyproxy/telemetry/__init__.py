"""What skyproxy counts and records about requests."""
