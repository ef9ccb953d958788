"""twistd, with `twistd skyproxy` on Twisted's own HTTP: `python -m tests.stock_twistd -n skyproxy …`."""

from __future__ import annotations

from twisted.scripts.twistd import run

from skyproxy import tap
from tests.stock_wire import stock_wire

if __name__ == "__main__":
    setattr(tap, "Wire", stock_wire)  # noqa: B010 (not a name that tap exports)
    run()
