"""What this process has had of the machine's processors."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple


class Processor(NamedTuple):
    """Seconds since the process began.

    :ivar busy: for which it has had a processor.
    :ivar waited: for which its main thread could have run, but others had the processors; 0 where nobody tells.
    """

    busy: float
    waited: float


def processor_until_now() -> Processor:
    """As the system counts."""
    return Processor(time.process_time(), _waited(Path("/proc/self/schedstat")))


def _waited(file: Path) -> float:
    """Linux: seconds on a processor, seconds of waiting for one, turns, the first two in nanoseconds."""
    try:
        return int(file.read_text("ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
