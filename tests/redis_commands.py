"""What the guide for operators says that users of a Redis of their own may need to do there."""

from __future__ import annotations

import re
from pathlib import Path

_GUIDE = Path(__file__).resolve().parents[1] / "skyproxy" / "docs" / "operator.md"


def documented(keys: str) -> set[str]:
    """The commands that a user needs who may do something with *keys*, a pattern."""
    text = _GUIDE.read_text(encoding="utf-8")
    (found,) = re.findall(rf"`{re.escape(keys)}`\s+and\s+the\s+commands\s(.*?)\.\s", text, re.DOTALL)
    return set(re.findall(r"`([A-Z]+)`", found))
