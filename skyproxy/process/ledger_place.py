"""Where the ledger of costs is kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

from skyproxy.config import Config
from skyproxy.util.user_folders import data_folder

BESIDE = "skyproxy-costs.sqlite"


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
    name = f"costs-{blake2b(os.fsencode(file), digest_size=4).hexdigest()}.sqlite"
    state = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    folders = [Path(state)] if state else [folder for folder in (data_folder(environ, home, system),) if folder]
    return (*(folder / name for folder in folders), file.parent / BESIDE)
