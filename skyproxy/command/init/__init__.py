"""``skyproxy init``: from nothing, or from another proxy's files, to a configuration."""
