"""Where the files are that the process keeps for itself."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from skyproxy.config import Config
from skyproxy.util.user_folders import data_folder


def _named(config: Config) -> Path | None:
    return config.access.store


class Places(NamedTuple):
    """Where each file may be, the best place first.

    :ivar ledger: of costs; none: it is in memory.
    :ivar bodies: of requests and answers; none: none are kept.
    :ivar budgets: of what budgets have spent; None: it is in memory.
    :ivar clients: of clients that ``skyproxy keys`` makes, by the configuration; None: there is no place for one.
    """

    ledger: tuple[Path, ...] = ()
    bodies: tuple[Path, ...] = ()
    budgets: Path | None = None
    clients: Callable[[Config], Path | None] = _named


NOWHERE = Places()


def places_of(config: Config, environ: Mapping[str, str], home: Path | None, system: str = os.name) -> Places:
    """Where the files of a process with *config* may be."""
    return Places(
        ledger_places(config, environ, home, system),
        body_places(config, environ, home, system),
        budgets_place(config, environ, home, system),
        lambda config: client_store(config, environ, home, system),
    )


def shared_places(places: Places) -> Places:
    """*places* for several processes: what one would keep in memory is in a folder that goes when this one ends."""
    if places.ledger:
        return places
    folder = Path(tempfile.mkdtemp(prefix="skyproxy-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return places._replace(ledger=(folder / "costs.sqlite",))


def ledger_places(
    config: Config, environ: Mapping[str, str], home: Path | None, system: str = os.name
) -> tuple[Path, ...]:
    """Where the ledger may be. The demo's costs are not kept."""
    if not config.proxy.costs or config.found is None:
        return ()
    if config.proxy.costs_file is not None:
        return (config.proxy.costs_file,)
    return _usual("costs", config.found.files[0], environ, home, system)


def body_places(
    config: Config, environ: Mapping[str, str], home: Path | None, system: str = os.name
) -> tuple[Path, ...]:
    """Where the bodies may be. The demo's are not kept."""
    if config.found is None:
        return ()
    if config.proxy.bodies.file is not None:
        return (config.proxy.bodies.file,)
    return _usual("bodies", config.found.files[0], environ, home, system)


def budgets_place(config: Config, environ: Mapping[str, str], home: Path | None, system: str = os.name) -> Path | None:
    """The file of what budgets have spent. The demo's are not kept.

    It is beside the store of clients where the configuration names that, else in the folder where costs are. There is
    one place: a process that took another one, where the first cannot be used, would begin at nothing.
    """
    if config.found is None:
        return None
    store = config.access.store
    if store is not None:
        return store.with_name(f"{store.stem}-budgets.sqlite")
    return _usual("budgets", config.found.files[0], environ, home, system)[0]


def client_store(config: Config, environ: Mapping[str, str], home: Path | None, system: str = os.name) -> Path | None:
    """The file of the clients that ``skyproxy keys`` makes; None: there is no place for one.

    It is where the configuration says, or in the folder where costs are: in one place only, for who looked in several
    might find a file that lets others in. The demo, too, has one.
    """
    if config.access.store is not None:
        return config.access.store
    if config.found is not None:
        return _usual("access", config.found.files[0], environ, home, system)[0]
    state = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    folder = Path(state) if state else data_folder(environ, home, system)
    return None if folder is None else folder / "access-demo.sqlite"


def _usual(
    what: str, configuration: Path, environ: Mapping[str, str], home: Path | None, system: str
) -> tuple[Path, ...]:
    """Each configuration has its own file. systemd gives a service STATE_DIRECTORY (systemd.exec(5)); else it is in the
    user's folder for data and, where that cannot be used, in the folder of the configuration.
    """
    file = configuration.absolute()
    name = f"{what}-{blake2b(os.fsencode(file), digest_size=4).hexdigest()}.sqlite"
    state = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    folders = [Path(state)] if state else [folder for folder in (data_folder(environ, home, system),) if folder]
    return (*(folder / name for folder in folders), file.parent / f"skyproxy-{what}.sqlite")
