"""What each feature does when a provider is bad: tables of what clients saw and what the provider received."""
