"""``python -m skyproxy.demo``: the demo server as a process of its own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from skyproxy.demo import Demo


def _limit(value: str) -> float:
    number = float(value)
    if not number > 0:
        raise ValueError(value)
    return number


def main(arguments: Sequence[str] | None = None, program: str = "python -m skyproxy.demo") -> int:
    """Serve until a signal ends it; the exit code.

    :param arguments: of the command line; None: those of the process.
    :param program: its name in the help.
    """
    parser = argparse.ArgumentParser(prog=program, description="An OpenAI-compatible provider without a model.")
    parser.add_argument("--listen", default="tcp:0:interface=127.0.0.1", help="a tcp: or ssl: endpoint of Twisted's")
    parser.add_argument("--control", action="store_true", help="serve /control, which tells what reached the server")
    parser.add_argument("--concurrency", type=int, help="requests at once, before 429")
    parser.add_argument("--rate", type=_limit, help="requests per second, before 429")
    options = parser.parse_args(arguments)

    from twisted.internet import reactor as installed

    reactor: Any = installed
    demo = Demo(
        reactor,
        listen=options.listen,
        control=options.control,
        concurrency=options.concurrency,
        rate=options.rate,
    )
    failures: list[Failure] = []

    def start() -> Deferred[None]:
        return demo.start().addCallbacks(started, failed)

    def started(_: None) -> None:
        print(f"skyproxy's demo, a provider without a model, listening on {demo.base_url}", flush=True)

    def failed(failure: Failure) -> None:
        failures.append(failure)
        reactor.stop()

    reactor.callWhenRunning(start)
    reactor.addSystemEventTrigger("before", "shutdown", demo.stop)
    reactor.run()
    for failure in failures:
        print(f"cannot listen: {failure.getErrorMessage()}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
