"""What is wrong with a text as YAML, for people who write YAML twice a year: the line of the cause, and what to type.

The parser's own words name the place where it could not go on, which is often the line after.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from skyproxy.config.doubts import UNSEEN

_FENCE = re.compile(r"```|~~~")
_CONFLICT = re.compile(r"<{7}|={7}$|>{7}")
_BULLET = re.compile(r"\*\s")
_NO_SPACE = re.compile(r"(?:- )?[A-Za-z_][A-Za-z0-9_.-]*:[^\s:]")
_KEY = re.compile(r"(?:- )?[^\s'\"#][^'\"#]*?:(?=\s|$)")
_OF_COLONS = ("mapping values", "find expected ':'", "expected '<document start>'")
_WITH_VALUE = re.compile(r"(?:- )?[^\s'\"#][^'\"#]*?:\s+[^\s#|>&]")

_OF_NAMES = ("tag", "alias", "anchor")
_OF_SIGNS = (
    "cannot start any token",
    "alphabetic or numeric",
    "alias",
    "chomping or indentation",
    "a comment or a line break",
)
_NO_COMMENT = re.compile(r"//|;|/\*|REM\s")
_SECTION = re.compile(r"\[\[?[\w.\" -]+\]\]?$")
_WIDE_COLON = re.compile("[\uff1a\ufe55\ufe13\ua789\u2236]")

_QUOTED = re.compile(r"'[^'<>]{2,}'")
_OPENING = {"[": "]", "{": "}"}


def explain(text: str, error: yaml.MarkedYAMLError) -> tuple[int | None, str]:
    """The line of the cause, counted from 1, and what to do. Nothing of *text* is repeated: it may be a secret."""
    return _Trouble(text, error).explain()


class _Trouble:
    """One error of the parser, and the lines around it.

    :ivar at: the line, counted from 1, where the parser stopped.
    :ivar since: the line where what it was reading begins, if it says so.
    """

    def __init__(self, text: str, error: yaml.MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        self._text = text
        self._lines = text.splitlines()
        self._problem = error.problem or error.context or "it cannot be read"
        self._context = error.context or ""
        self._mark = mark
        self.at = None if mark is None else int(mark.line) + 1
        self.since = None if error.context_mark is None else int(error.context_mark.line) + 1

    def explain(self) -> tuple[int | None, str]:
        for found in (
            self._of_pasting(),
            self._of_spaces(),
            self._of_scalars(),
            self._of_colons(),
            self._of_brackets(),
            self._of_blocks(),
        ):
            if found is not None:
                line, words = found
                return line, f"is not valid YAML: {words}"
        # Quoted are token kinds such as '<scalar>', single characters, and names: the file's own words.
        return self.at, f"is not valid YAML: {_QUOTED.sub('a name', self._problem)}"

    # Kinds of causes. Each gives the line of the cause and what to do, or None if it is another.

    def _near(self, pattern: re.Pattern[str], *, at_start: bool = False) -> int | None:
        """The line nearest to where the parser stopped in which *pattern* is found."""
        near = (self.at, self.since, None if self.at is None else self._before(self.at))
        find = pattern.match if at_start else pattern.search
        # What is told in comments is no cause.
        return next(
            (each for each in near if each and find(f" {self._line(each)}".partition(" #")[0].strip(" "))), None
        )

    def _of_pasting(self) -> tuple[int | None, str] | None:
        """What belongs to other formats, or around the text in a guide."""
        fence = self._near(_FENCE, at_start=True)
        if fence is not None:
            return fence, "this is the frame of an example in a guide: delete the line"
        conflict = self._near(_CONFLICT, at_start=True)
        if conflict is not None:
            return conflict, "this is where Git could not merge: choose one of both, and delete the lines of signs"
        bullet = self._near(_BULLET, at_start=True)
        if bullet is not None:
            return bullet, "an item of a list begins with - and a space"
        section = self._near(_SECTION, at_start=True)
        if section is not None and section != self.at and self._line(section).startswith("["):
            return (
                section,
                "this is how other formats begin a section: in YAML it is `name:`, and what follows indented",
            )
        comment = self._near(_NO_COMMENT, at_start=True)
        return None if comment is None else (comment, "a comment begins with #")

    def _of_spaces(self) -> tuple[int | None, str] | None:
        odd = self._near(UNSEEN)
        if odd is not None:
            return odd, (
                "there is a space of another kind (such as a no-break space), or a character that cannot be seen: "
                "delete it, and type a plain one"
            )
        wide = self._near(_WIDE_COLON)
        return None if wide is None else (wide, "the colon is one of another script: type : and a space")

    def _of_scalars(self) -> tuple[int | None, str] | None:
        problem = self._problem
        if r"'\t'" in problem:
            indented = self._mark is None or not self._line(self._mark.line + 1)[: self._mark.column].strip()
            begins = "it is indented with" if indented else "there is"
            return self.at, f"{begins} a tab, where YAML wants spaces"
        if "quoted scalar" in self._context and "end of stream" in problem:
            return self.since, "the quote that opens here is not closed"
        if "escape" in problem:
            return self.at, "a backslash means something else in double quotes: use single quotes, or / in paths"
        if "undefined alias" in problem:
            return (
                self.at,
                "a value that begins with a sign such as * takes quotes: put all of it in ' ' (without them it is the "
                "name of an anchor, and none of that name stands above)",
            )
        if "sequence entries are not allowed" in problem:
            return (
                self.at,
                "a list begins in a line of its own below its key; a value that begins with - takes quotes: put all of "
                "it in ' '",
            )
        if any(words in problem for words in _OF_SIGNS) or any(words in self._context for words in _OF_NAMES):
            return (
                self.at,
                "a value that begins with a sign such as @ * ! % & | > ` takes quotes: put all of it in ' '",
            )
        if problem.endswith("found '<scalar>'"):
            opened = self._quote_until(self.at)
            if opened is not None:
                return opened, "the quote that opens here is not closed"
            closing = (
                "quote" if self._line(self.at or 0).count("'") + self._line(self.at or 0).count('"') else "bracket"
            )
            return self.at, f"there is more after the closing {closing}: put all of the value in one pair of quotes"
        return None

    def _of_colons(self) -> tuple[int | None, str] | None:
        at = self.at
        if at is None or not any(words in self._problem for words in _OF_COLONS):
            return None
        before = self._before(at)
        cause = self.since if "find expected" in self._problem and self.since is not None else before
        if cause is not None:
            line = self._line(cause).strip()
            if _NO_SPACE.match(line) and not _KEY.match(line):
                return cause, "put a space after the colon"
            if not _KEY.match(line) and not line.startswith(("-", "'", '"')):
                return cause, "there is no colon: write `key: value`"
            if before == cause and self._indent(at) > self._indent(cause) and _WITH_VALUE.match(line):
                return at, f"it is indented more than line {cause}, which has a value already: indent them alike"
        return at, "a value with a colon and a space in it takes quotes: put all of it in ' '"

    def _of_brackets(self) -> tuple[int | None, str] | None:
        problem = self._problem
        if problem.endswith(("found '}'", "found ']'")) and "block" in problem:
            return self.at, "there is a closing bracket too many"
        if "flow" not in self._context:
            return None
        if "stream end" in problem or "end of stream" in problem or self.since != self.at:
            opened = self._open_bracket()
            if opened is not None:
                line, sign = opened
                return line, f"the {sign} that opens here is not closed: {_OPENING[sign]} is missing"
        return self.at, "what stands in [ ] or { } is parted by commas, and a text with such signs in it takes quotes"

    def _of_blocks(self) -> tuple[int | None, str] | None:
        if "another document" in self._problem:
            return self.at, "another document begins here: leave out the line ---"
        if "expected the node content" in self._problem:
            return (
                self.at,
                "a value is missing here, or it begins with a , or a bracket and takes quotes: put it in ' '",
            )
        if self.at is None or "block end" not in self._problem:
            return None
        if self._line(self.at).lstrip().startswith("-") or self._problem.endswith("found '?'"):
            neighbours = self._before(self.at)
            return self.at, f"a list and `key: value` do not go together here, after line {neighbours}"
        fitting = self._indents_above(self.at)
        spaces = " or ".join(str(each) for each in fitting)
        return (
            self.at,
            f"it is indented differently from the lines above: by {self._indent(self.at)}, and they by {spaces}",
        )

    # The lines.

    def _line(self, number: int) -> str:
        return self._lines[number - 1] if 0 < number <= len(self._lines) else ""

    def _indent(self, number: int) -> int:
        line = self._line(number)
        return len(line) - len(line.lstrip(" "))

    def _upwards(self, number: int) -> Iterator[int]:
        """The lines above *number* that say something, the nearest first."""
        for each in range(number - 1, 0, -1):
            if self._line(each).strip() and not self._line(each).lstrip().startswith("#"):
                yield each

    def _before(self, number: int) -> int | None:
        return next(self._upwards(number), None)

    def _indents_above(self, number: int) -> list[int]:
        """How far the blocks are indented that are open above *number*."""
        found: list[int] = []
        for each in self._upwards(number):
            if not found or self._indent(each) < found[-1]:
                found.append(self._indent(each))
        return found[::-1]

    def _quote_until(self, number: int | None) -> int | None:
        """Where the quoted text begins that ends in line *number*, if that is another line."""
        for token in self._tokens():
            if isinstance(token, yaml.ScalarToken) and token.style in ("'", '"'):
                start, end = int(token.start_mark.line) + 1, int(token.end_mark.line) + 1
                if start < end == number:
                    return start
        return None

    def _open_bracket(self) -> tuple[int, str] | None:
        """The innermost bracket that is open where the parser stopped, and its line."""
        opened: list[tuple[int, str]] = []
        for token in self._tokens():
            if self._mark is not None and token.start_mark.index >= self._mark.index:
                break
            if isinstance(token, (yaml.FlowMappingStartToken, yaml.FlowSequenceStartToken)):
                sign = "{" if isinstance(token, yaml.FlowMappingStartToken) else "["
                opened.append((int(token.start_mark.line) + 1, sign))
            elif isinstance(token, (yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)) and opened:
                opened.pop()
        return opened[-1] if opened else None

    def _tokens(self) -> Iterator[yaml.Token]:
        """As far as there are any."""
        try:
            yield from yaml.scan(self._text, Loader=yaml.SafeLoader)
        except yaml.YAMLError:
            return
