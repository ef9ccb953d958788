"""What holds for all tests, with pytest."""

from __future__ import annotations

from typing import Any

from skyproxy.process.collector import spare_the_collector


def pytest_collection_finish(session: Any) -> None:
    """Have the collector leave alone all that was imported: thousands of tests would have it searched again."""
    spare_the_collector()
