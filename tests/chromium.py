"""The browser that the page is tried in: Chromium, as the system has it."""

from __future__ import annotations

import os
import shutil

_NEVER_SEEN = ("WebUIOmniboxPopup", "WebUIOmniboxAimPopup")
"""What Chromium with its windows makes for each of them, though none is shown: two pages below the line of addresses,
which take more time of the processor than the page that is tried."""

_AS_PLAYWRIGHT = (
    "AvoidUnnecessaryBeforeUnloadCheckSync", "HttpsUpgrades", "PaintHolding", "ThirdPartyStoragePartitioning",
)  # fmt: skip
"""What Playwright switches off, too: of several lists Chromium reads the last one."""


def chromium() -> str | None:
    """Its program; None: there is none. ``CHROMIUM`` names another.

    The build without windows comes first, which Playwright would fetch for itself: it has the same engine, and takes a
    quarter of the processor time.
    """
    for name in (
        os.environ.get("CHROMIUM"), "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome",
    ):  # fmt: skip
        found = shutil.which(name) if name else None
        if found:
            return found
    return None


def arguments() -> list[str]:
    """What it is started with, besides what Playwright gives it."""
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return [*as_root, f"--disable-features={','.join((*_AS_PLAYWRIGHT, *_NEVER_SEEN))}"]
