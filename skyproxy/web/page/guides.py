"""The guides, which lie in the package as Markdown, as documents of their own under the page's policy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

from skyproxy.errors import NotFound
from skyproxy.http.common.headers import Field
from skyproxy.web.page.files import headers_of

TITLES = {"player": "Player", "operator": "Operator", "reference": "Reference", "contributor": "Contributor"}
"""The guides, by their names, and what their links say."""

_NAME = re.compile(r"[a-z]+(\.svg|\.png)?")
_NO_CACHE = b"no-cache"


class Guides:
    """Renders each guide when it is first asked for, and keeps it.

    :param version: of the page's files, which guides use.
    """

    def __init__(self, version: str) -> None:
        self._version = version
        self._documents: dict[str, bytes] = {}

    def document(self, name: str) -> tuple[bytes, list[Field]]:
        """The guide *name*, or one of the guides' pictures (``silent.svg``): its body and its headers.

        :raise NotFound: there is none.
        """
        picture = name.endswith((".svg", ".png"))
        lying = files("skyproxy").joinpath("docs").joinpath(name if picture else f"{name}.md")
        if not _NAME.fullmatch(name) or not (picture or name in TITLES) or not lying.is_file():
            raise NotFound(f"There is no such guide; there are {', '.join(f'/guide/{each}' for each in TITLES)}.")
        if picture:
            return lying.read_bytes(), headers_of(name, _NO_CACHE)
        if name not in self._documents:
            self._documents[name] = self._rendered(name, lying.read_text("utf-8")).encode()
        return self._documents[name], headers_of("guide.html", _NO_CACHE)

    def _rendered(self, name: str, text: str) -> str:
        body, headings = render(text)
        title = headings[0][1] if headings else name
        links = "".join(
            f'<li><a href="{each}"{" aria-current=page" if each == name else ""}>{shown}</a></li>'
            for each, shown in TITLES.items()
        )
        contents = "".join(f'<li><a href="#{anchor}">{escape(shown)}</a></li>' for anchor, shown in headings[1:])
        return _DOCUMENT.format(title=escape(title), version=self._version, links=links, contents=contents, body=body)


def render(text: str) -> tuple[str, list[tuple[str, str]]]:
    """The HTML of the Markdown *text*, and the anchors and texts of its headings of the first two ranks.

    HTML in it is shown, and not taken; links to other guides become those of their documents.
    """
    # It takes 20 ms to be imported, and most processes are never asked for a guide.
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    headings: list[tuple[str, str]] = []
    anchors: dict[str, int] = {}
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            shown = "".join(each.content for each in tokens[index + 1].children or ())
            anchor = _anchor(shown, anchors)
            token.attrSet("id", anchor)
            if token.tag in ("h1", "h2"):
                headings.append((anchor, shown))
        elif token.type in ("th_open", "td_open"):
            # The policy lets no style stand in an element.
            token.attrs.pop("style", None)
            if token.type == "th_open" and not tokens[index + 1].content:
                # A header that says nothing is none.
                token.tag = tokens[index + 2].tag = "td"
        for child in token.children or ():
            if child.type == "link_open":
                _set_link(child)
    html: str = markdown.renderer.render(_scrolled(tokens), markdown.options, {})
    return html, headings


def _anchor(text: str, taken: dict[str, int]) -> str:
    """An id that no other heading has."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "part"
    taken[plain] = taken.get(plain, 0) + 1
    return plain if taken[plain] == 1 else f"{plain}-{taken[plain]}"


def _set_link(token: Any) -> None:
    href = str(token.attrGet("href") or "")
    if href.startswith(("http://", "https://")):
        token.attrSet("rel", "noopener noreferrer")
        token.attrSet("target", "_blank")
    else:
        token.attrSet("href", re.sub(r"\.md(?=#|$)", "", href))


def _scrolled(tokens: Sequence[Any]) -> list[Any]:
    """*tokens*, with each table in a box of its own, which is scrolled sideways on a narrow screen."""
    from markdown_it.token import Token

    found: list[Any] = []
    for token in tokens:
        if token.type == "table_open":
            found.append(Token("html_block", "", 0, content='<div class="scroll" tabindex="0">'))
        found.append(token)
        if token.type == "table_close":
            found.append(Token("html_block", "", 0, content="</div>"))
    return found


_DOCUMENT = """<!doctype html>
<html lang="en" data-theme="system">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} &ndash; skyproxy</title>
<link rel="icon" href="../a/{version}/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="../a/{version}/page.css">
<script type="module" src="../a/{version}/guide.js"></script>
</head>
<body>
<header class="bar"><a class="name" href="../">skyproxy</a><nav aria-label="Guides"><ul>{links}</ul></nav></header>
<div class="body"><main class="guide">
<details class="contents"><summary>Contents</summary><ul>{contents}</ul></details>
{body}</main></div>
<footer><a href="../#/setup">Setup</a></footer>
</body>
</html>
"""
