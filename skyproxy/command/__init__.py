"""The command ``skyproxy``: what people type. Each command has a module of its own, imported when it is called."""
