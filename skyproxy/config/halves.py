"""One of the two files of a folder, where somebody has named it and not the folder."""

from __future__ import annotations

from skyproxy.config.files import PROVIDERS_FILE, ROUTES_FILE, Source
from skyproxy.config.plain_files import is_file

_OTHER = {PROVIDERS_FILE: ROUTES_FILE, ROUTES_FILE: PROVIDERS_FILE}


def left_out(source: Source | None) -> str:
    """What is to be told of *source*, if it is one of two files alone; else nothing."""
    if source is None or len(source.files) > 1 or source.files[0].name not in _OTHER:
        return ""
    other = source.files[0].with_name(_OTHER[source.files[0].name])
    told = f": {other} is not read, for a file was named and not its folder, {other.parent}"
    return told if is_file(other) else ""
