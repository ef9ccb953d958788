"""The browser that the page is tried in: Chromium, as the system has it."""

from __future__ import annotations

import os
import shutil


def chromium() -> str | None:
    """Its program; None: there is none. ``CHROMIUM`` names another."""
    for name in (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name) if name else None
        if found:
            return found
    return None
