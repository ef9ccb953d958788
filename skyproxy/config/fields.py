"""The kinds of values that a configuration has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from skyproxy.config import key_rules, rules
from skyproxy.config.units import byte_count, byte_count_or_off, seconds, seconds_or_none

_V = TypeVar("_V")


class Checked(BaseModel):
    """Base of what is checked: no key that is not known, no value taken for what it is not, no change."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        # Older versions of pydantic warn of fields whose names begin as methods of theirs: model_slots.
        protected_namespaces=(),
    )


def frozen(values: Mapping[str, _V]) -> Mapping[str, _V]:
    """*values*, as they are now and stay."""
    return MappingProxyType(dict(values))


def on_or_off(value: Any) -> Any:
    """``on`` and ``off`` as words: YAML reads them as booleans."""
    return ("on" if value else "off") if isinstance(value, bool) else value


def switch(value: Any) -> Any:
    """``on`` and ``off`` in quotes as what they are without."""
    return value == "on" if value in ("on", "off") else value


def none_if_empty(value: Any) -> Any:
    """None for an empty text."""
    return None if value == "" else value


def one_or_several(value: Any) -> Any:
    """A single text as a list of one."""
    return (value,) if isinstance(value, str) else value


def _path(value: Any) -> Any:
    if isinstance(value, str) and "\0" in value:
        raise ValueError("must not have a character of number 0, as \\0 in double quotes is: use single quotes, or /")
    return Path(value) if isinstance(value, str) else value


def _variables(value: Any) -> Any:
    if value == "":
        return None
    if value == []:
        raise ValueError("must name a variable; without api_key_env the provider gets no key")
    # Checked here, and not as the item of a list, a problem with a single name has its own place.
    return (key_rules.variable(value),) if isinstance(value, str) else value


OnOff = Annotated[bool, BeforeValidator(switch)]
Seconds = Annotated[float, BeforeValidator(seconds)]
SecondsOrNone = Annotated[float, BeforeValidator(seconds_or_none)]
Bytes = Annotated[int, BeforeValidator(byte_count)]
BytesOrOff = Annotated[int | None, BeforeValidator(byte_count_or_off)]
Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, AfterValidator(rules.name)]
Fields = Annotated[
    Mapping[str, Annotated[Any, AfterValidator(rules.json_value)]],
    AfterValidator(frozen),
]
Text = Annotated[str | None, BeforeValidator(none_if_empty)]
OptionalPath = Annotated[Path | None, BeforeValidator(_path), BeforeValidator(none_if_empty)]
Host = Annotated[str, AfterValidator(rules.listen_host)]
Origins = Annotated[
    tuple[Annotated[str, AfterValidator(rules.origin)], ...], Field(strict=False), BeforeValidator(one_or_several)
]
Hosts = Annotated[
    tuple[Annotated[str, AfterValidator(rules.allowed_host)], ...], Field(strict=False), BeforeValidator(one_or_several)
]
Listen = Annotated[tuple[str, ...], BeforeValidator(rules.endpoints)]
Headers = Annotated[
    Mapping[Annotated[str, AfterValidator(rules.header_name)], Annotated[str, AfterValidator(rules.header_value)]],
    AfterValidator(frozen),
]
Variables = Annotated[
    Annotated[tuple[Annotated[str, AfterValidator(key_rules.variable)], ...], Field(strict=False)] | None,
    AfterValidator(rules.distinct),
    BeforeValidator(_variables),
]
Fallbacks = Annotated[
    tuple[Name, ...], Field(strict=False), AfterValidator(rules.distinct), BeforeValidator(one_or_several)
]
