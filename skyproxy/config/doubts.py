"""What YAML takes as it stands, though it is hardly what was meant: values that it cut, joined, or changed silently."""

from __future__ import annotations

import re

from yaml.nodes import ScalarNode

KeyPath = tuple[str, ...]

_CURLY = "\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb"
_DASHES = "\u2013\u2014\u2022\u2023\u25e6\u00b7"

UNSEEN = re.compile("[\u00a0\u00ad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]")
"""Spaces of other kinds than the plain one, and characters that nobody sees."""
_TYPE_ANEW = "has a space of another kind, or a character that cannot be seen: delete it, and type it anew"

_TEXT = "tag:yaml.org,2002:str"
_KINDS_OF_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")

_FREE = frozenset({"params", "force"})
"""Below these keys any text may be meant."""

_NUMBERS = frozenset(
    {
        "temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "seed", "presence_penalty",
        "frequency_penalty", "repetition_penalty",
    }
)  # fmt: skip
"""Fields of a body that providers refuse if they are texts."""

_NOT_OF_BODY = {
    "model": "is not to be set here: write the model beside `provider:`, by which its cost and its limits are known",
    "stream": "is not to be set here: leave it out, for each client says whether it wants a stream",
}
_KEY_AND_VALUE = re.compile(r"[A-Za-z_]\w*:[^\s:]")

_OCTAL = re.compile(r"[-+]?0[0-7_]+")
_SIXTIES = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")

_PATHS = frozenset({"log_file", "costs_file", "path", "file", "store", "ca_file", "jwks"})
_NOT_FILLED_IN = re.compile(r"~[\w.-]*(?:[/\\]|$)|.*\$\{|.*\$[A-Za-z_]\w*[/\\]|.*%[A-Za-z_]\w*%")

_NAMES = frozenset({"provider", "model", "base_url"})
_VARIABLE = re.compile(r"\$\{|\{\{|\$[A-Za-z_]\w*$|%[A-Za-z_]\w*%$")

_BARE_VARIABLE = re.compile(r"(?<![\w$])\$[A-Za-z_]\w*$|%[A-Za-z_]\w*%$")

_NOT_A_COMMENT = re.compile(r" #[^\s#]")
_ANCHOR = re.compile(r"[:,\[{-]\s+&[^\s,\]}]+\s*[,\]}]?\s*$")


def doubt(node: ScalarNode, path: KeyPath, whole: str) -> str | None:
    """What is doubtful about the value *node* at *path* of *whole*; None: nothing is. The value is not repeated."""
    found = _of_number(node, path)
    if found is not None or not _FREE.isdisjoint(path) or node.start_mark is None or node.end_mark is None:
        return found
    return _of_place(str(node.value), path) or _of_writing(node, whole)


def _of_number(node: ScalarNode, path: KeyPath) -> str | None:
    """What YAML takes for another number than people do, or for a text."""
    text = str(node.value)
    if node.tag == _TEXT and _FREE.intersection(path[-2:-1]) and path[-1] in _NUMBERS:
        return "is a text, where providers want a number: write it without quotes, and with a point, as 0.7"
    if node.style or node.tag not in _KINDS_OF_NUMBERS:
        return None
    if _OCTAL.fullmatch(text):
        return "is read as a number to the base of 8, since it begins with 0: leave that 0 out"
    if _SIXTIES.fullmatch(text):
        return "is read as a number to the base of 60, as 1:30 is 90: write the number, or a time such as 1m30s"
    return None


def _of_place(text: str, path: KeyPath) -> str | None:
    """What is doubtful about *text* in this place."""
    last = path[-1] if path else ""
    if last in _PATHS and _NOT_FILLED_IN.match(text):
        return "neither ~ nor a variable is filled in here: write the whole path"
    if last in _NAMES and _VARIABLE.match(text):
        return "no variable is filled in here: write what it holds"
    if "headers" in path[-2:-1] and _BARE_VARIABLE.search(text):
        return "only a variable in the form ${NAME} is filled in here"
    if "," in text.rstrip(",") and "fallbacks" in path[-2:]:
        return "has a comma in it: several go into a list, such as [one, two]"
    if "," in text.rstrip(",") and last in _NAMES:
        return "has a comma in it: one stands here, and others go into fallbacks"
    if ": " in text and ("fallbacks" in path[-2:] or path[:1] == ("profiles",)):
        return "has a space behind its colon, which would be a part of the model's name: take it away"
    return None


def _of_writing(node: ScalarNode, whole: str) -> str | None:
    """What is doubtful about how *node* is written in *whole*."""
    text = str(node.value)
    if UNSEEN.search(text):
        return _TYPE_ANEW
    if node.style and text.strip() and text != text.strip(" "):
        return "begins or ends with a space, which belongs to it: take that away"
    if node.style == '"' and any(letter < " " for letter in text):
        return "a backslash means something else in double quotes: use single quotes, or / in paths"
    if node.style:
        return None
    start, end = int(node.start_mark.index), int(node.end_mark.index)
    line_start, line_end = whole.rfind("\n", 0, start) + 1, whole.find("\n", end)
    rest = whole[end : line_end if line_end >= 0 else len(whole)]
    if not text:
        anchored = _ANCHOR.search(whole[line_start:end] + rest)
        return "a value that begins with & takes quotes: put all of it in ' '" if anchored else None
    if node.end_mark.line > node.start_mark.line:
        following = node.start_mark.line + 2
        return f"line {following} is read as a part of it: indent that line as its neighbours, or put all in quotes"
    if _NOT_A_COMMENT.match(rest):
        return "what follows from # on is read as a comment: put all of it in ' ' if it belongs to it"
    return _of_signs(text)


def doubt_of_key(key: str, path: KeyPath, *, alone: bool = False) -> str | None:
    """What is doubtful about *key* in the mapping at *path*; None: nothing is.

    :param alone: whether it stands there without a value.
    """
    if not _FREE.isdisjoint(path):
        if alone and _KEY_AND_VALUE.match(key):
            return "is a key without a value: put a space after the colon"
        return _NOT_OF_BODY.get(key) if path[-1] in _FREE else None
    if UNSEEN.search(key):
        return _TYPE_ANEW
    if key and (key[0] in _CURLY or key[-1] in _CURLY):
        return "has curly quotes, which belong to it for YAML: type straight ones, or none"
    return "begins or ends with a space, which belongs to it: take that away" if key != key.strip(" ") else None


def _of_signs(text: str) -> str | None:
    first, last = text[0], text[-1]
    if first in _CURLY or last in _CURLY:
        return "has curly quotes, which belong to it for YAML: type straight ones, or none"
    if first in _DASHES:
        return "begins with a dash of typography, or a bullet, which YAML does not know: type - and a space"
    if first == "-" and text[1:2].isalpha():
        return "begins with -, behind which a space is missing if it is an item of a list"
    if last in "\"'":
        return "ends with a quote, but does not begin with one: put all of it in quotes, or take that one away"
    if last in ",;":
        return "ends with a comma or semicolon, which belongs to it for YAML: take that away"
    if first == "<" and last == ">":
        return "looks as if it were still to be filled in"
    return None
