"""What every group is given: real processes, and sheets to write down what was seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.report import Table
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import DemoProvider, Proxy

_COLUMNS = ("situation", "the client saw", "the provider received", "as promised")


class Sheet:
    """The table of one feature.

    :ivar broken: situations in which something promised did not hold.
    """

    def __init__(self, title: str, about: str) -> None:
        self.table = Table(title, _COLUMNS, about, prose=True)
        self.broken: list[str] = []

    def row(self, situation: str, saw: str, received: str, *, holds: bool) -> None:
        """One situation.

        :param holds: whether all that is promised of it held.
        """
        self.table.add(situation, saw, received, "yes" if holds else "NO")
        if not holds:
            self.broken.append(f"{self.table.title}: {situation}: {saw}; {received}")


class Lab:
    """Starts processes, and keeps the sheets of one group.

    :ivar start: from :func:`tests.e2e.conftest.starter`.
    """

    def __init__(self, start: Starter) -> None:
        self.start = start
        self.sheets: list[Sheet] = []

    def sheet(self, title: str, about: str = "") -> Sheet:
        """A new table."""
        sheet = Sheet(title, about)
        self.sheets.append(sheet)
        return sheet

    def demo(self, *options: str) -> DemoProvider:
        """The demo provider as a process."""
        demo: DemoProvider = self.start(DemoProvider, *options)
        return demo

    def proxy(self, config: Mapping[str, Any], **options: Any) -> Proxy:
        """`twistd skyproxy` as a process."""
        proxy: Proxy = self.start(Proxy, config, **options)
        return proxy


@dataclass(frozen=True, slots=True)
class Group:
    """Features that are shown together.

    :ivar show: writes what it sees on sheets of the lab.
    """

    name: str
    show: Callable[[Lab], None]


def config_of(
    first: DemoProvider,
    providers: Mapping[str, Mapping[str, Any]],
    slots: Mapping[str, Mapping[str, Any]] | None = None,
    **top: Any,
) -> dict[str, Any]:
    """A configuration with *providers*, which are *first* where they do not say otherwise, and are asked once.

    :param slots: by name; their provider is ``demo`` if they name none.
    :param top: sections besides.
    """
    config = config_for(first)
    plain = config["providers"]["demo"]
    config["providers"] = {name: {**plain, **settings} for name, settings in providers.items()}
    config["providers"].setdefault("demo", plain)
    for name, slot in (slots or {}).items():
        config["model_slots"][name] = {"provider": "demo", "model": "guard;delay=0", **slot}
    config["proxy"].update(top.pop("proxy", {}))
    return {**config, **top}
