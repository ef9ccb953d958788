"""One request to one provider."""
