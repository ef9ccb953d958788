"""Processes and findings, as in tests/e2e."""

from tests.e2e.conftest import demo, findings, proxy, start, start_for_module

__all__ = ["demo", "findings", "proxy", "start", "start_for_module"]
