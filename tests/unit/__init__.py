"""The unit tests. On a slow machine hypothesis takes its time, and so do the tests that it runs."""

from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("any machine")
