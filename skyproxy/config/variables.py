"""What the environment and the .env files behind it hold, and what is wrong with the latter."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from skyproxy.util.close_matches import nearest

_WRITE = "write NAME=value"
_MISTAKES = (
    (re.compile(r"\s*\$env:", re.IGNORECASE), f"this is PowerShell: leave out $env: and {_WRITE}"),
    (re.compile(r"\s*setx?\s+\S", re.IGNORECASE), f"this is for the command line: leave out set and {_WRITE}"),
    (re.compile(r"\s*(?:export\s+)?[A-Za-z_]\w*\s*:"), f"there is a colon where = is wanted: {_WRITE}"),
    (re.compile(r"\s*(?:export\s+)?[A-Za-z_]\w*\s*=\s*['\"]"), "the quote that opens here is not closed"),
)
_BEHIND_HASH = re.compile(r"\s*#+\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*\S")
_PLACEHOLDER = re.compile(
    r"(?:your|my|insert|replace|change|put|paste|enter)[-_ ](?:.*key|.*token|me|here|this).*|changeme|<.*>|\[.*\]"
    r"|\{.*\}|(?:sk-)?x{4,}|.*(?:\.{3}|\u2026)|.*(?:your|api)[-_ ]?key[-_ ]?here.*|.*[-_ ]your[-_ ]key.*|todo|tbd",
    re.IGNORECASE,
)

_MASKED = re.compile(r"\.{3}|\u2026|\*{3}|\u2022{2}")
_NOT_ALONE = re.compile(r"https?://|[A-Z][A-Z0-9]*_[A-Z0-9_]*=")
_SEVERAL = re.compile(r"[\w-]{16,}(?:[,;][\w-]{16,})+")
_REFERENCE = re.compile(r"\$\{\w+\}|\$[A-Za-z_]\w*|%[A-Za-z_]\w*%")


_LETTERS_OF_KEYS = 8
"""Different letters that a key has at least."""


class Variables:
    """The environment, and the .env files behind it.

    :param env_files: path and text of each, the strongest first.
    :ivar warnings: of lines in these that say nothing, with file, line, and what to type; never with what they hold.
    """

    def __init__(self, environ: Mapping[str, str], env_files: Sequence[tuple[Path, str]]) -> None:
        self._environ = environ
        self._files = [_EnvFile(path, text) for path, text in env_files]
        self.warnings = tuple(warning for file in self._files for warning in file.warnings)

    @property
    def place(self) -> str | None:
        """The file into which a key is to be written: the first that is there; None if none is."""
        return next((file.name for file in self._files), None)

    def get(self, name: str) -> tuple[str, int | None, str]:
        """Where *name* is set: the file, for messages, and the line in it; and to what, an empty text if it is not."""
        if name in self._environ:
            return "environment", None, self._environ[name].strip()
        for file in self._files:
            if (found := file.find(name)) is not None:
                line, value = found
                return file.name, line, value
        return "environment", None, ""

    @property
    def names(self) -> list[str]:
        """All names."""
        return list(dict.fromkeys((*self._environ, *(name for file in self._files for name in file.found))))

    def hidden(self, name: str) -> tuple[str, int] | None:
        """The file, and the line in it, that has another value for *name* than the environment, which goes first."""
        given = self._environ.get(name, "").strip()
        for file in self._files:
            found = file.find(name)
            if given and found is not None and found[1] not in ("", given):
                return file.name, found[0]
        return None

    def hint(self, name: str, others: Collection[str]) -> str:
        """What may be the reason that *name* holds nothing, for the end of a message; or nothing.

        :param others: names that mean something else.
        """
        for file in self._files:
            found = file.find(name)
            if found is not None and found[1] and name in self._environ:
                return f" It is empty in the environment, which hides line {found[0]} of {file.name}."
        for file in self._files:
            found = file.find(name)
            if found is not None and not found[1]:
                return f" Line {found[0]} of {file.name} has it, but without a value."
            if name in file.behind_hash:
                return f" Line {file.behind_hash[name]} of {file.name} has it behind a #: take that away."
            line = file.line_with(name)
            if line is not None:
                return f" Line {line} of {file.name} has that name in another form: write {name}=KEY there."
        for file in self._files:
            candidates = {each: line for each, (line, value) in file.found.items() if value and each not in others}
            near = nearest(name, candidates)
            if near is None:
                keys = [each for each in candidates if each.endswith(("KEY", "TOKEN"))]
                near = keys[0] if len(keys) == 1 else None
            if near is not None and near.isidentifier():
                return f" Line {candidates[near]} of {file.name} has {near}: is that it?"
        return ""


def doubt_of_key(value: str) -> str | None:
    """What is doubtful about *value*, which is a key; None: nothing is."""
    if _PLACEHOLDER.fullmatch(value):
        return "looks as if the key were still to be put there"
    if _REFERENCE.fullmatch(value):
        return "names another variable, which is not filled in here: put the key itself there"
    if _MASKED.search(value):
        return (
            "is shortened, as pages show a key that they do not tell again: make a new one, and copy it when it is made"
        )
    if _NOT_ALONE.match(value):
        return "holds more than a key, or something else: put the key alone there"
    if _SEVERAL.fullmatch(value):
        return "holds several keys: give each a variable of its own, and list these in api_key_env"
    half = len(value) // 2
    # One letter again and again is what people make up for a program that wants any key.
    if value[:half] == value[half:] and len(set(value)) >= _LETTERS_OF_KEYS:
        return "stands there twice, one behind the other: put it there once"
    # As `docker run --env-file` leaves them.
    if len(value) > 2 and value[0] == value[-1] and value[0] in "'\"`":
        return "has quotes around it, which go up with the key: leave them out"
    return None


class _EnvFile:
    """One of the files.

    :ivar found: by name, the line and the value of each variable.
    :ivar behind_hash: by name, the line of each that is in a comment.
    """

    def __init__(self, path: Path, text: str) -> None:
        self.name = str(path)
        self._lines = text.splitlines()
        self.found: dict[str, tuple[int, str]] = {}
        self.warnings: list[str] = []
        self.behind_hash = {
            match[1]: number
            for number, each in enumerate(self._lines, 1)
            if (match := _BEHIND_HASH.match(each)) is not None
        }
        # A key is taken as it stands, even if it has a dollar sign.
        for binding in parse_stream(StringIO(text)):
            line = _line_of(binding)
            if binding.key is not None and binding.value is not None and _is_name(binding.key):
                value = _unquoted(binding.value.strip())
                first, other = self.found.get(binding.key, (line, value))
                if other not in ("", value):
                    words = f"{binding.key} has another value in line {first}: the one here counts"
                    self.warnings.append(f"{self.name}:{line}: {words}.")
                self.found[binding.key] = line, value
            else:
                self.warnings += [f"{self.name}:{line}: {words}." for words in _wrong(binding)]

    def line_with(self, name: str) -> int | None:
        """The line in which *name* stands otherwise than before a =, or with a - for a _, or in quotes."""
        said = re.compile(rf"(?<!\w){re.escape(name).replace('_', '[_-]')}(?!\w)", re.IGNORECASE)
        lines = enumerate((each.partition("#")[0] for each in self._lines), 1)
        return next((number for number, each in lines if said.search(each)), None)

    def find(self, name: str) -> tuple[int, str] | None:
        """Line and value of *name*, however its letters are written: Windows knows no difference."""
        if name in self.found:
            return self.found[name]
        return next((each for key, each in self.found.items() if key.casefold() == name.casefold()), None)


def _unquoted(value: str) -> str:
    """*value* without backticks around it: dotenv for Node.js, by which the original reads, takes them for quotes."""
    return value[1:-1].strip() if len(value) > 1 and value[0] == value[-1] == "`" else value


def _is_name(key: str) -> bool:
    return not key.startswith("$") and ":" not in key


def _line_of(binding: Binding) -> int:
    # The blank lines and comments before it belong to it.
    text = binding.original.string
    before = text[: len(text) - len(text.lstrip())]
    return binding.original.line + before.count("\n")


def _wrong(binding: Binding) -> Iterator[str]:
    text = binding.original.string.strip()
    if not text or text.startswith("#") or re.fullmatch(r"export\s+\w+", text):
        return
    yield next((words for pattern, words in _MISTAKES if pattern.match(text)), f"this says nothing: {_WRITE}")
