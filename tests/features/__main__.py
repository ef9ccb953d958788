"""``python -m tests.features``: drives real processes, prints tables, and fails where a promise does not hold."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks import report
from tests.benchmarks.machine import describe_machine, raise_open_files
from tests.e2e.conftest import starter
from tests.features.groups import GROUPS
from tests.features.lab import Group, Lab

RESULTS = Path(__file__).with_name("RESULTS.md")

_INTRODUCTION = """\
# What each feature does when a provider is bad

Made by `python -m tests.features --write`: real `twistd skyproxy` processes before real demo providers, on loopback.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Show what was asked for; 1 if a promise did not hold."""
    options = _options(arguments)
    if sys.platform != "linux":
        print("The tables need Linux, for their machine is read from /proc.")
        return 2
    # What is asked to end ends what it started.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    raise_open_files()
    facts = describe_machine()
    print(report.machine_markdown(facts) + "\n", flush=True)
    broken: list[str] = []
    for group in GROUPS:
        if not options.groups or group.name in options.groups:
            began = time.monotonic()
            text, failed = _shown(group)
            broken += failed
            print(text, flush=True)
            print(f"({group.name}: {time.monotonic() - began:.0f} s)\n", file=sys.stderr, flush=True)
            if options.write:
                _keep(group.name, text, facts)
    print("Not as promised:\n" + "\n".join(f"- {each}" for each in broken) if broken else "All as promised.")
    return 1 if broken else 0


def _shown(group: Group) -> tuple[str, list[str]]:
    """The tables of *group*, and what does not hold in them."""
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="skyproxy-") as folder, contextmanager(starter)(Path(folder)) as start:
        lab = Lab(start)
        try:
            group.show(lab)
        except Exception as error:
            # What was seen before is worth showing.
            failed.append(f"{group.name}: broken off by {type(error).__name__}: {error}")
    text = "\n".join(sheet.table.markdown() for sheet in lab.sheets)
    return text, [each for sheet in lab.sheets for each in sheet.broken] + failed


def _keep(name: str, text: str, facts: Sequence[tuple[str, str]]) -> None:
    if RESULTS.exists():
        document = RESULTS.read_text("utf-8")
    else:
        document = _INTRODUCTION
        for each in ("machine", *(group.name for group in GROUPS)):
            document = report.keep(document, each, "")
    document = report.keep(document, "machine", report.machine_markdown(facts))
    RESULTS.write_text(report.keep(document, name, f"{text.rstrip()}\n\nSeen {facts[0][1]}."), "utf-8")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [group.name for group in GROUPS]
    parser = argparse.ArgumentParser(
        prog="python -m tests.features",
        description="Shows on real processes what each feature does: a table of what clients saw and what the provider "
        "received. The exit code is 1 if something promised does not hold.",
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"only these: {', '.join(names)}")
    parser.add_argument("--write", action="store_true", help="put the tables into tests/features/RESULTS.md")
    options = parser.parse_args(arguments)
    for name in options.groups:
        if name not in names:
            parser.error(f"there is no group {name!r}; there are {', '.join(names)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
