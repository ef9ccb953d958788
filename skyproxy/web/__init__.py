"""The Klein app and what stands between it and the proxy."""
