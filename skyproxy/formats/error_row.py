"""One thing that providers answer, as the table of what errors mean has it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from skyproxy.errors import ErrorKind


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that providers answer. Whatever is None fits anything; all that is given must fit.

    :ivar kind: what it means.
    :ivar source: where it is documented, or was seen.
    :ivar dialect: whose it is; None: of several.
    :ivar status: of HTTP.
    :ivar code: in lower case: the error's ``code``, Google's ``status`` or one of its reasons is among these; or its
        ``type``, for some have the one where others have the other.
    :ivar type: likewise, its ``type``; or one of the others.
    :ivar pattern: found in its message, or in what another provider told this one.
    """

    kind: ErrorKind
    source: str
    dialect: str | None = None
    status: int | tuple[int, ...] | None = None
    code: tuple[str, ...] | None = None
    type: tuple[str, ...] | None = None
    pattern: re.Pattern[str] | None = None


def text(pattern: str) -> re.Pattern[str]:
    """What is found in a message, in small letters or large ones."""
    return re.compile(pattern, re.IGNORECASE)
