"""The page: files for browsers, and what they are served with. It needs no build step and nothing from elsewhere."""
