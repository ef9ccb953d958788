"""What an error answer means, and what is done about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from skyproxy.errors import ErrorKind
from skyproxy.formats.error_body import ErrorBody, read_error
from skyproxy.formats.error_row import Row
from skyproxy.formats.error_rows import ROWS
from skyproxy.formats.error_words import told_within
from skyproxy.formats.openai.bodies import write_as_read

__all__ = ["ACTIONS", "ROWS", "Action", "Row", "kind_of", "parameter_of", "stated_status"]


@dataclass(frozen=True, slots=True)
class Action:
    """What is done about an error.

    :ivar same_again: asking the same provider again, unchanged, can help.
    :ivar other_key: another key of the same provider can.
    :ivar next_candidate: another provider or model can. If not, the answer goes down as it came.
    :ivar rests: what is better left alone for a while. A provider that is no more to be reached than one whose
        gateway answers for it (502 to 504, 52x with no error in JSON) is so as a whole.
    :ivar status: by which it goes down when it came under a status that says that all is well.
    """

    same_again: bool
    other_key: bool
    next_candidate: bool
    rests: Literal["nothing", "key_and_model", "key", "deployment", "provider"]
    status: int


ACTIONS: Mapping[ErrorKind, Action] = MappingProxyType(
    {
        ErrorKind.RATE: Action(True, True, True, "key_and_model", 429),
        ErrorKind.OVERLOADED: Action(True, False, True, "deployment", 503),
        ErrorKind.KEY_INVALID: Action(False, True, True, "key", 401),
        ErrorKind.NO_CREDIT: Action(False, True, True, "key", 402),
        ErrorKind.CONTEXT_LENGTH: Action(False, False, True, "nothing", 400),
        ErrorKind.CONTENT: Action(False, False, True, "nothing", 400),
        ErrorKind.REGION: Action(False, False, True, "nothing", 403),
        ErrorKind.MODEL_UNKNOWN: Action(False, False, True, "nothing", 404),
        # One that skyproxy added is taken back by whoever added it; of the client's own there is nothing to mend.
        ErrorKind.PARAMETER: Action(False, False, False, "nothing", 400),
        ErrorKind.CLIENT: Action(False, False, False, "nothing", 400),
        ErrorKind.BROKEN: Action(True, False, True, "deployment", 502),
    }
)

_LOOKED_AT = 4096
"""Characters of a text."""

_BY_STATUS = {
    401: ErrorKind.KEY_INVALID,
    402: ErrorKind.NO_CREDIT,
    # Of a key that may not do this, or of content that may not be: who keeps the keys needs two different requests to
    # put one aside for it, and until then another key may be asked.
    403: ErrorKind.KEY_INVALID,
    404: ErrorKind.MODEL_UNKNOWN,
    # At this address there is nothing that answers chats; or there is no more, as of a model that was switched off.
    405: ErrorKind.MODEL_UNKNOWN,
    410: ErrorKind.MODEL_UNKNOWN,
    408: ErrorKind.BROKEN,
    413: ErrorKind.CONTEXT_LENGTH,
    429: ErrorKind.RATE,
    # They say nothing of the request: whoever answers does not want to (418, RFC 2324), is not the one to (421), is
    # locked, or waits for another that failed (423, 424, RFC 4918: TGI's, of a generation that failed), or for later
    # (425, RFC 8470), or has taken somebody for gone who is not (499, nginx's and Google's).
    **dict.fromkeys((418, 421, 423, 424, 425, 499), ErrorKind.BROKEN),
}

_STATUSES = ("status", "http_code", "status_code", "statusCode")

_OF_THE_KEY = frozenset({ErrorKind.KEY_INVALID, ErrorKind.NO_CREDIT})

_CLIENTS_FAULT = frozenset({"invalid_request_error", "badrequesterror", "invalid_request", "bad_request_error"})

_PARAMETERS = (
    (
        re.compile(
            r"reasoning is mandatory|thinking mode|(?:thinking|reasoning) (?:can't|cannot) be|\breasoning effort\b"
            r"|\bthinking (?:level |budget )?is not|does not support (?:disabling )?(?:thinking|reasoning)|^think value"
            r"|invalid thinking\b",
            re.IGNORECASE,
        ),
        "reasoning",
    ),
    (re.compile(r"property '([^']{1,100})' is unsupported"), None),
    (re.compile(r"argument not supported on this model: (\w{1,100})", re.IGNORECASE), None),
    (
        re.compile(
            r"(?:parameter|value|argument)(?: supplied)?:? '?\"?([A-Za-z_]\w{0,99}(?:\.\w{1,99}){0,9})", re.IGNORECASE
        ),
        None,
    ),
    (re.compile(r"unknown name \"([^\"]{1,100})\"", re.IGNORECASE), None),
    (re.compile(r"([A-Za-z_][\w.]{0,99}): extra inputs are not permitted", re.IGNORECASE), None),
)


def kind_of(status: int, error: ErrorBody, dialect: str = "openai") -> ErrorKind:
    """What *error* means.

    What another provider told the one that passes it on is of that one's key, and says nothing of ours.

    :param status: by which it came. Under 400 the error's own counts, if it states one.
    :param dialect: of the provider: some rows are of one only.
    """
    stated = status if status >= 400 else stated_status(error)
    raw = _raw(error)
    own = names = _names(error)
    told = read_error(raw.encode("utf-8", "replace"), b"") if raw else told_within(error)
    if told is not None:
        # What the other one calls it may say more than its words.
        names = own | _names(told)
    text = f"{error.message[:_LOOKED_AT]}\n{raw[:_LOOKED_AT]}"
    for row in ROWS:
        if _fits(row, stated, dialect, names if raw or row.kind not in _OF_THE_KEY else own, text):
            ours = not raw or row.kind not in _OF_THE_KEY or (row.pattern and row.pattern.search(error.message))
            return row.kind if ours else ErrorKind.BROKEN
    if stated is None:
        return ErrorKind.CLIENT if (error.type or "").lower() in _CLIENTS_FAULT else ErrorKind.BROKEN
    known = _BY_STATUS.get(stated, ErrorKind.BROKEN if stated >= 500 else ErrorKind.CLIENT)
    return ErrorKind.BROKEN if raw and known in _OF_THE_KEY else known


def stated_status(error: ErrorBody) -> int | None:
    """The HTTP status that *error* states, mostly as its code, as a number or as its digits; None if it states none."""
    told = error.value or {}
    for code in (error.code, *(told.get(name) for name in _STATUSES)):
        if isinstance(code, str) and len(code) == 3 and code.isascii() and code.isdigit():
            code = int(code)
        if isinstance(code, int) and 400 <= code < 600:
            return code
    return None


def parameter_of(error: ErrorBody, added: AbstractSet[str] = frozenset()) -> str | None:
    """The field of the body that *error* is about; None if it does not say.

    :param added: those of which one is meant where *error* names it in words that nobody knows.
    """
    if error.param:
        return error.param
    text = f"{error.message[:_LOOKED_AT]}\n{_raw(error)[:_LOOKED_AT]}"
    for pattern, name in _PARAMETERS:
        match = pattern.search(text)
        if match is not None:
            return name or match.group(1)
    for name in sorted(added):
        # Of names that are words of every day only what is marked as a name is one.
        marked = rf"['\"`]{name}[\\'\"`.]|\b{name}\.[a-z]|\bbody\.{name}\b"
        if re.search(rf"(?<!\w){name}(?!\w)" if "_" in name else marked, text):
            return name
    return None


def _fits(row: Row, status: int | None, dialect: str, names: frozenset[str], text: str) -> bool:
    if row.dialect is not None and row.dialect != dialect:
        return False
    # An error under 200 that states no status may be any.
    if row.status is not None:
        wanted = row.status if isinstance(row.status, tuple) else (row.status,)
        if status is None and row.code is None and row.type is None and row.pattern is None:
            return False
        if status is not None and status not in wanted:
            return False
    # Some have the one where others have the other.
    if any(each is not None and names.isdisjoint(each) for each in (row.code, row.type)):
        return False
    return row.pattern is None or row.pattern.search(text) is not None


def _names(error: ErrorBody) -> frozenset[str]:
    """By which *error* is called."""
    found = {str(error.code)} if error.code is not None else set()
    found.update(each for each in (error.type, error.status, *error.reasons) if each)
    if error.of_gateway:
        found.add("cloudflare_error")
    return frozenset(each.lower() for each in found)


def _raw(error: ErrorBody) -> str:
    """What another provider told the one that passes it on (OpenRouter's ``metadata.raw``); empty if nothing."""
    metadata = (error.value or {}).get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    if isinstance(raw, dict):
        raw = raw.get("data") or write_as_read(raw).decode()
    return raw if isinstance(raw, str) else ""
