"""``python -m tests.benchmarks``: measures, and prints tables."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import peers, report
from tests.benchmarks.bench import Bench, Row
from tests.benchmarks.load import WrongOutput
from tests.benchmarks.machine import Tools, describe, find_interpreter, find_tools, raise_open_files
from tests.benchmarks.processes import NotStarted
from tests.benchmarks.rows import ROWS

RESULTS = Path(__file__).with_name("RESULTS.md")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for; 1 if a row failed."""
    options = _options(arguments)
    if sys.platform != "linux":
        print("The benchmarks need Linux: they read /proc, and wait by epoll.")
        return 2
    peers_dir = Path(options.peers_dir).expanduser().absolute()
    if options.peers:
        print(f"Fetching Portkey, LiteLLM and autocannon from npm and PyPI into {peers_dir}: this needs the network.")
        peers.install(peers_dir)
    # What is asked to end ends what it started.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    raise_open_files()
    tools = find_tools(peers_dir)
    seconds = options.seconds or (1.0 if options.quick else 4.0)
    bench = Bench(tools, seconds, 1 if options.quick else 3, options.quick, peers_dir, options.beside)
    gone = [*tools.missing(), *peers.missing(peers_dir, tools)]
    if gone:
        print(f"Missing, and left out: {', '.join(gone)}.")
    facts = [*describe(tools), *peers.versions(peers_dir), ("a measurement takes", f"{seconds:g} s")]
    if options.beside is not None:
        facts.append(("besides, in whole, latency and streams, skyproxy on", options.beside.name))
    print("\n" + report.machine_markdown(facts) + "\n", flush=True)
    rows = [row for row in ROWS if not options.rows or row.name in options.rows]
    failed = [row.name for row in rows if not _row(row, bench, tools, facts, write=options.write)]
    if failed:
        print(f"Failed: {', '.join(failed)}")
    return 1 if failed else 0


def _row(row: Row, bench: Bench, tools: Tools, facts: Sequence[tuple[str, str]], *, write: bool) -> bool:
    lacking = [name for name in row.needs if getattr(tools, name) is None]
    if lacking:
        print(f"## {row.name}: not measured, for there is no {' and no '.join(lacking)}\n", flush=True)
        return True
    try:
        tables = row.measure(bench)
    except (NotStarted, WrongOutput, OSError, AssertionError) as error:
        print(f"## {row.name}: failed: {type(error).__name__}: {error}\n", flush=True)
        return False
    text = "\n".join(table.markdown() for table in tables)
    print(text, flush=True)
    if write:
        document = RESULTS.read_text("utf-8") if RESULTS.exists() else report.new_results(row.name for row in ROWS)
        document = report.keep(document, "machine", report.machine_markdown(facts))
        dated = f"{text.rstrip()}\n\nMeasured {facts[0][1]}."
        RESULTS.write_text(report.keep(document, row.name, dated), "utf-8")
    return True


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measures skyproxy on this machine beside what else could carry the traffic. Without --peers it "
        "needs no network.",
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"only these: {', '.join(names)}")
    parser.add_argument("--seconds", type=float, help="of each measurement (4; 1 if quick)")
    parser.add_argument("--quick", action="store_true", help="see that everything works; the figures say little")
    parser.add_argument("--peers", action="store_true", help="install Portkey, LiteLLM and autocannon first")
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    parser.add_argument("--peers-dir", default=f"{cache}/skyproxy-benchmarks", help="where they are (%(default)s)")
    parser.add_argument("--beside", metavar="PYTHON", help="of an environment in which skyproxy is installed, too")
    parser.add_argument("--write", action="store_true", help="put the tables into tests/benchmarks/RESULTS.md")
    options = parser.parse_args(arguments)
    for name in options.rows:
        if name not in names:
            parser.error(f"there is no row {name!r}; there are {', '.join(names)}")
    if options.beside is not None:
        try:
            options.beside = find_interpreter(options.beside)
        except ValueError as error:
            parser.error(str(error))
    return options


if __name__ == "__main__":
    sys.exit(main())
