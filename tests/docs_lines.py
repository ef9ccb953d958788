"""The lines of the README and of the guides that a reader types: where they stand, what of them is executed by
tests/e2e/test_docs_lines.py, and what only has its form checked by tests/unit/test_docs_lines.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

PAGES = [ROOT / "README.md", *sorted((ROOT / "skyproxy" / "docs").glob("*.md"))]

_PROGRAM = re.compile(
    r"(?:\S*[/\\])?(?:skyproxyw?(?!/)|twistd|python3?|pip|pipx|uv|pytest|ruff|mypy|run)(?:\.exe)?(?: |$)"
    r"|(?:winget|curl|apt|apt-get|mkdir|cp|copy|systemctl|loginctl|launchctl|journalctl|docker|podman|kubectl|export|set"
    r"|cat|printf|echo|logrotate|ulimit|start\.bat|\./\S+) "
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SHELLS = ("sh", "bash", "console", "bat", "cmd", "powershell")
_SPAN = re.compile(r"`([^`\n]+)`")


class Line(NamedTuple):
    """One line that a reader types.

    :ivar page: the name of its file.
    :ivar block: whether it is a line of a block, not a piece of code within a text or a table.
    """

    page: str
    text: str
    block: bool


def lines() -> Iterator[Line]:
    """All of them."""
    for path in PAGES:
        text = path.read_text("utf-8")
        for kind, inner in _FENCE.findall(text):
            if kind in _SHELLS:
                yield from (Line(path.name, each.strip(), True) for each in inner.splitlines() if each.strip())
        plain = _FENCE.sub("", text)
        for each in re.findall(r"^ {4,7}(\S.*)$", plain, re.MULTILINE):
            if not each.startswith(("http://", "https://")):
                yield Line(path.name, each, True)
        for each in _SPAN.findall(re.sub(r"^ {4,7}\S.*$", "", plain, flags=re.MULTILINE)):
            if _PROGRAM.match(each):
                yield Line(path.name, each.replace("\\|", "|"), False)


def for_cmd(line: str) -> str:
    """What Windows' cmd wants in place of *line*, which is for a POSIX shell."""
    line = re.sub(r"\.venv/bin/", lambda _: ".venv\\Scripts\\", line)
    line = re.sub(r"\bpython3\b", "python", line)
    line = re.sub(r"'([^']*)'", r'"\1"', line)
    line = re.sub(r"\bcp ", "copy ", line)
    words = line.split(" ")
    return " ".join(
        word.replace("/", "\\").rstrip("\\") if "/" in word and "://" not in word and not word.startswith("-") else word
        for word in words
    )


EXECUTED = {
    r"skyproxy (run|init|check|check --live|chat default Hello|try default --n 10)": "as it stands",
    r'skyproxy chat default "Who goes there\?"': "as it stands",
    r"skyproxy init --import FOLDER-OR-FILE": "with the sample in the place of FOLDER-OR-FILE",
    r"mkdir config && cp skyproxy/config/sample/.*": "in a copy of the checkout, and what it made is checked",
    r"twistd \[-n\] \[--pidfile F\] skyproxy .*": "with what the brackets offer",
    r"\.venv/bin/python -m pytest -q -p no:twisted tests/unit/log": "as it stands",
    r"\.venv/bin/python -m tests\.benchmarks": "with --help: a run takes an hour",
}
"""What is executed, by patterns of whole lines, and how."""

ONLY_CHECKED = {
    r"skyproxy keys .*": "tests/e2e/test_access.py does the same",
    r"python3 -m venv \.venv && \.venv/bin/pip install \. && \.venv/bin/skyproxy run": "fetches packages: .ci/run",
    r"\.venv/bin/pip install -e '\.\[test\]' && \.venv/bin/python -m tests": "fetches packages, takes minutes: .ci/run",
    r"python3 -m venv \.venv && \.venv/bin/pip install -e '\.\[test,dev\]'": "fetches packages: .ci/run",
    r"\.venv/bin/python -m skyproxy schema --markdown > .*": "what it prints is compared by tests/unit/test_docs.py",
    r"\.venv/bin/python -m skyproxy schema > .*": "what it prints is compared by tests/unit/config/test_json_schema.py",
    r"skyproxy service install( .*)?": "changes the user's own system: tests/e2e/test_service.py",
}
"""What is not executed here, and why, or who does."""


ON_LINUX = (
    r"\.venv/bin/pip install -e '\.\[test\]' && \.venv/bin/python -m tests",
    r"\.venv/bin/python -m tests\.benchmarks",
    r"twistd .*",
)
"""Lines of which the text says that they are for Linux, or that are the same elsewhere, by patterns likewise."""


def how(line: str) -> str | None:
    """How the line of a block is tested; None: nobody has said."""
    for table in (EXECUTED, ONLY_CHECKED):
        for pattern, said in table.items():
            if re.fullmatch(pattern, line):
                return said
    return None


def is_posix_only(line: str) -> bool:
    """Whether Windows' cmd wants another line."""
    return for_cmd(line) != line and not any(re.fullmatch(pattern, line) for pattern in ON_LINUX)
