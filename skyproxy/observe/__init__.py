"""What skyproxy tells about itself: its log."""
