"""OpenAI's bodies and streams."""
