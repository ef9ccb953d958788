"""Where the ledger of costs is kept, and what budgets have spent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

from skyproxy.config import Config
from skyproxy.util.user_folders import data_folder

BESIDE, BUDGETS_BESIDE = "skyproxy-costs.sqlite", "skyproxy-budgets.sqlite"


def ledger_places(
    config: Config, environ: Mapping[str, str], home: Path | None, system: str = os.name
) -> tuple[Path, ...]:
    """Where the file may be, the best place first; none: it is in memory.

    Each configuration has its own. systemd gives a service STATE_DIRECTORY (systemd.exec(5)); else it is the user's
    folder for data and, where that cannot be used, the folder of the configuration. The demo's costs are not kept.
    """
    if not config.proxy.costs or config.found is None:
        return ()
    if config.proxy.costs_file is not None:
        return (config.proxy.costs_file,)
    file = config.found.files[0].absolute()
    name, folder = _named("costs", file), _folder(environ, home, system)
    return (*(() if folder is None else (folder / name,)), file.parent / BESIDE)


def budgets_place(config: Config, environ: Mapping[str, str], home: Path | None, system: str = os.name) -> Path | None:
    """The file of what budgets have spent; None: it is in memory, for the demo.

    It is beside the store of clients where the configuration names that, else in the folder where costs are. There is
    one place: a process that took another one, where the first cannot be used, would begin at nothing.
    """
    if config.found is None:
        return None
    store = config.access.store
    if store is not None:
        return store.with_name(f"{store.stem}-budgets.sqlite")
    file, folder = config.found.files[0].absolute(), _folder(environ, home, system)
    return file.parent / BUDGETS_BESIDE if folder is None else folder / _named("budgets", file)


def _named(what: str, file: Path) -> str:
    return f"{what}-{blake2b(os.fsencode(file), digest_size=4).hexdigest()}.sqlite"


def _folder(environ: Mapping[str, str], home: Path | None, system: str) -> Path | None:
    state = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(state) if state else data_folder(environ, home, system)
