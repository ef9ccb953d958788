"""Python's garbage collector, in a process that lives long."""

from __future__ import annotations

import gc


def spare_the_collector() -> None:
    """Have the garbage collector leave alone what lives as long as the process, and look less often for the rest.

    A request leaves no cycles behind, but makes enough objects to have Python's own thresholds search the whole heap
    again and again: a quarter of the time of a whole answer, and the longest stops of the event loop.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
