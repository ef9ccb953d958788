"""What a view must look like, whatever it shows: accessible, legible, and within its screen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_SMALL = """() => [...document.querySelectorAll('body *')].filter((e) => {
    const style = getComputedStyle(e);
    const said = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    return said && e.checkVisibility() && parseFloat(style.fontSize) < 12;
}).map((e) => e.outerHTML.slice(0, 100))"""

_TARGETS = """() => [...document.querySelectorAll('button, select, summary, a.button, nav a, input')].filter((e) => {
    const box = e.getBoundingClientRect();
    return e.checkVisibility() && box.width > 1 && (box.height < 20 || box.width < 20);
}).map((e) => e.outerHTML.slice(0, 100))"""

HOSTILE = (
    "<img src=x onerror=alert(1)>", "<script>alert(1)</script>", "javascript:alert(1)", "\"'><svg onload=alert(1)>",
    "{{7*7}}${7*7}", "\N{RIGHT-TO-LEFT OVERRIDE}txt.exe", "a" * 300, "\N{PILE OF POO}", "%s%n%x", "constructor",
    "__proto__", "`rm -rf`",
)  # fmt: skip
"""What others may write, as names of models, as errors and as answers."""


def looks_well(page: Page, name: str) -> None:
    """See that the view is as it must be, and keep a picture of it under *name* where ``PAGE_SHOTS`` names a folder."""
    folder = os.environ.get("PAGE_SHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)
    found: Any = Axe().run(page)
    assert not found.response["violations"], found.generate_report()
    width = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert width[0] == width[1], f"{name} scrolls sideways: {width}"
    assert page.evaluate(_SMALL) == []
    assert page.evaluate(_TARGETS) == []
