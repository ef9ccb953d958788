"""Which candidate is asked next: retries, fallbacks, hedges."""
