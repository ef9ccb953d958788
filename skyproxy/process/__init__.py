"""The life of the process: its service, listeners, signals, reload and stop."""
