"""The same figures as Prometheus reads them: ``/metrics``."""
