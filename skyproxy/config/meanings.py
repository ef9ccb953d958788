"""What the options mean, from the docstrings of the models that check them."""

from __future__ import annotations

import inspect
import re

from pydantic import BaseModel

_IVAR = re.compile(r":ivar (\w+): (.*?)(?=\n\s*:ivar |\n\s*\n|\Z)", re.DOTALL)
_ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`")


def meanings_of(model: type[BaseModel]) -> dict[str, str]:
    """What the docstrings of *model* and its bases say of their fields."""
    meanings: dict[str, str] = {}
    for each in reversed(model.__mro__):
        text = inspect.cleandoc(each.__doc__ or "") if issubclass(each, BaseModel) else ""
        for name, meaning in _IVAR.findall(text):
            words = _ROLE.sub(r"`\1`", " ".join(meaning.split())).replace("``", "`")
            meanings[name] = words[:1].upper() + words[1:].rstrip(".") + "."
    return meanings
