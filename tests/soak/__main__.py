"""``python -m tests.soak``: tries each fault on real processes, and fails where what must hold does not."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

from tests.benchmarks import report
from tests.benchmarks.machine import describe_machine, raise_open_files
from tests.soak import table
from tests.soak.rows import ROWS, Row
from tests.soak.running import FAILS, NOT_TRIED, Found, Runner

RESULTS = Path(__file__).with_name("RESULTS.md")
QUICK_JOBS = 4
"""Much of their time rows wait, so that two cores run four of them."""
_LONGEST = "T27"


def main(arguments: Sequence[str] | None = None) -> int:
    """Try what was asked for; 1 if something did not hold."""
    options = _options(arguments)
    if sys.platform != "linux":
        print("The soak needs Linux, for its machine and its processes are read from /proc.")
        return 2
    raise_open_files()
    facts = describe_machine()
    print(report.machine_markdown(facts) + "\n", flush=True)
    runner = Runner(full=not options.quick)

    def stop(number: int, frame: FrameType | None) -> None:
        # What is asked to end ends what it started.
        runner.stop()
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    # A shell starts what is to run beside it with this one ignored, which children inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    began = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            found = []
            for each in pool.map(runner.run, options.rows):
                found.append(_told(each))
                if options.write:
                    _keep(facts, each)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            runner.stop()
            raise
    for word, holds in (("Do not hold", FAILS), ("Not tried here", NOT_TRIED)):
        if names := [each.row.name for each in found if each.holds == holds]:
            print(f"{word}: {', '.join(names)}")
    failed = any(each.holds == FAILS for each in found)
    print(f"{len(found)} rows in {time.monotonic() - began:.0f} s" + ("" if failed else ": none failed"))
    return 1 if failed else 0


def _keep(facts: Sequence[tuple[str, str]], found: Found) -> None:
    """Write a row as soon as it is known: the rest takes long."""
    before = RESULTS.read_text("utf-8") if RESULTS.exists() else ""
    RESULTS.write_text(table.document(before, facts, [found]), "utf-8")


def _told(found: Found) -> Found:
    print(f"{found.row.name:4}{found.holds:10}{found.seconds:5.0f} s  {found.row.happens}: {found.seen}")
    for each in found.troubles:
        print(f"      {each}")
    sys.stdout.flush()
    return found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description="Tries the faults that skyproxy is to survive, each on real processes. The exit code is 1 if what "
        "must hold does not. At full size it takes half an hour, and wants a machine that does nothing else.",
    )
    parser.add_argument("--quick", action="store_true", help="small, within three minutes, bounds of time not judged")
    parser.add_argument("--rows", metavar="T1,T5", help="only these")
    parser.add_argument("--rest", action="store_true", help="only what `python -m tests` does not try in small")
    parser.add_argument("--jobs", type=int, help=f"rows at a time (1; {QUICK_JOBS} if quick)")
    parser.add_argument("--write", action="store_true", help="put the rows into tests/soak/RESULTS.md")
    options = parser.parse_args(arguments)
    if options.write and (options.quick or options.rest):
        parser.error("--write keeps whole rows at full size only: leave --quick and --rest out")
    try:
        options.rows = named(options.rows)
    except ValueError as error:
        parser.error(str(error))
    if options.rest:
        options.rows = rest_of(options.rows)
    # What takes longest begins first, so that nothing waits for it alone at the end.
    options.rows.sort(key=lambda row: row.name != _LONGEST)
    options.jobs = options.jobs or (QUICK_JOBS if options.quick else 1)
    return options


def named(names: str | None) -> list[Row]:
    """The rows that *names* names; all without any.

    :raise ValueError: there is none of that name.
    """
    if names is None:
        return list(ROWS)
    known = {row.name: row for row in ROWS}
    wanted = [name.strip().upper() for name in names.split(",")]
    for name in wanted:
        if name not in known:
            raise ValueError(f"there is no row {name!r}; there are {', '.join(known)}")
    return [known[name] for name in wanted]


def rest_of(rows: Sequence[Row]) -> list[Row]:
    """*rows* without what tests/e2e and tests/unit try, too."""
    left = [row._replace(tests=tuple(test for test in row.tests if test.startswith("soak/"))) for row in rows]
    return [row for row in left if row.tests]


if __name__ == "__main__":
    sys.exit(main())
