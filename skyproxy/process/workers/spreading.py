"""Which worker gets the next connection, and what part of a limit each worker has."""

from __future__ import annotations

from collections.abc import Mapping


def next_worker(open_connections: Mapping[int, int], last: int | None) -> int | None:
    """The worker with the fewest open connections; of several, the one whose turn comes after *last*.

    :param open_connections: by the number of each worker that can take one.
    :param last: the one that got the connection before.
    :return: None: there is no worker.
    """
    if not open_connections:
        return None
    least = min(open_connections.values())
    equal = sorted(number for number, count in open_connections.items() if count == least)
    return next((number for number in equal if last is not None and number > last), equal[0])


def even_part(whole: int, number: int, workers: int) -> int:
    """The part of a limit that worker *number* of *workers* has.

    All parts together are *whole*, but each is at least 1 where *whole* is.
    """
    part = whole // workers + (number < whole % workers)
    return max(part, min(whole, 1))


def restart_delay(failures: int) -> float:
    """Seconds until a worker is started again.

    :param failures: how often in a row it has ended soon after its start.
    """
    return 0.0 if failures == 0 else float(min(0.5 * 2 ** (failures - 1), 10.0))
