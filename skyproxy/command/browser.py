"""The page in the user's browser: ``skyproxy run --open``."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Callable, Mapping

_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


def page_of(base_url: str) -> str | None:
    """The page's address, where the API is at *base_url*; None: that is a socket in a folder, for no browser."""
    return f"{base_url.removesuffix('/v1')}/" if base_url.startswith(("http://", "https://")) else None


def shows_windows(system: str, environment: Mapping[str, str]) -> bool:
    """Whether a browser would have a window of its own. Without one it would take the terminal."""
    if system in ("win32", "darwin", "cygwin") or environment.get("BROWSER"):
        return True
    return any(environment.get(name) for name in _DISPLAYS)


def open_page(
    address: str | None,
    show: Callable[[list[str]], object],
    open_new: Callable[[str], bool] = webbrowser.open,
    system: str = sys.platform,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Open the page, or say how to. It may take as long as the browser takes to start.

    :param address: of the page; None: it has none.
    :param show: shows lines to the user.
    """
    if address is None:
        show(["--open: skyproxy listens at no address that a browser takes."])
        return
    try:
        opened = shows_windows(system, environment) and open_new(address)
    except Exception:  # a browser of the user's, by whatever means
        opened = False
    if not opened:
        show([f"--open: no browser could be started here. Type {address} into one on this machine."])
