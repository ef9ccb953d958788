"""Imported by any Python that has this folder in PYTHONPATH: its wall clock jumps a day ahead when the process gets
SIGALRM, two days back at the next, and so on.
"""

import signal
import time
from itertools import cycle
from typing import Any

DAY = 86_400.0

_time = time.time
_jumps = cycle((DAY, -DAY))
_offset = 0.0


def _jump(number: int, frame: Any) -> None:
    global _offset
    _offset = next(_jumps)


def _jumping() -> float:
    return _time() + _offset


time.time = _jumping
signal.signal(signal.SIGALRM, _jump)
