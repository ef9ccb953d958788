"""Whether a provider takes a key, found out without a token being spent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

from skyproxy.config import ApiKeyConfig, Config, ProviderConfig
from skyproxy.errors import UpstreamError, forget
from skyproxy.formats.dialects import DIALECTS
from skyproxy.upstream.exchange.questions import Questions, ServerReply
from skyproxy.util.close_matches import nearest

Result = Literal["good", "refused", "not tested", "no answer", "answers"]

_WRONG_KEY = "sk-skyproxy-tests-that-a-wrong-key-is-refused"
_REFUSED = frozenset({400, 401, 403})
"""Google says 400 to a wrong key."""


@dataclass(frozen=True, slots=True)
class KeyReport:
    """What came of a test.

    :ivar variable: of the key; None: the provider wants none.
    :ivar result: ``good`` only where a wrong key is refused in the same place; ``answers``: it wants no key, and is
        there.
    :ivar text: for people: credits and limits, or what went wrong.
    :ivar models: that the provider lists; None: it lists none.
    """

    variable: str | None
    result: Result
    text: str = ""
    models: tuple[str, ...] | None = field(default=None, repr=False)


async def check_keys(config: ProviderConfig, questions: Questions) -> list[KeyReport]:
    """Test each key of the provider of *config*."""
    if not config.api_keys:
        return [await _without_key(config, questions)]
    return [await _test(config, key, questions) for key in config.api_keys]


def unlisted(config: Config, provider: str, reports: Iterable[KeyReport]) -> Iterator[str]:
    """The slots of *config* whose model *provider* does not list, in words."""
    models = next((report.models for report in reports if report.models), None)
    for name, slot in config.model_slots.items():
        asked = slot.provider == provider
        if models is not None and asked and not _has(models, slot.model, config.providers[provider]):
            meant = nearest(slot.model, models)
            hint = f": did you mean {meant}?" if meant else ""
            yield f"slot {name}: {provider} lists no model {slot.model}{hint}"


_ROUTING = ("nitro", "floor", "exacto", "online")
"""What may stand behind any model of OpenRouter's, whose list has none of it
(https://openrouter.ai/docs/guides/routing/model-variants/overview).
"""


def _has(models: Collection[str], model: str, config: ProviderConfig) -> bool:
    """Whether the provider that lists *models* may have *model*, by a name that it does not list, too."""
    if model in models:
        return True
    if config.dialect == "local":
        return f"{model}:latest" in models  # Ollama's, where a name has no tag
    base, _, variant = model.rpartition(":")
    return config.dialect == "openrouter" and ((variant in _ROUTING and base in models) or "@preset/" in model)


async def _without_key(config: ProviderConfig, questions: Questions) -> KeyReport:
    try:
        reply = await questions.get(f"{config.base_url}/models", [])
    except UpstreamError as error:
        forget(error)
        return KeyReport(None, "no answer", error.message)
    models = _models_of(reply)
    if reply.status in _REFUSED:
        return KeyReport(None, "refused", f"it wants a key (status {reply.status})")
    listed = f"status {reply.status} to /models: is its base_url right?" if reply.status >= 400 else ""
    if reply.status == HTTPStatus.OK and reply.value is None:
        listed = _not_the_api("/models")
    return KeyReport(None, "answers", listed if models is None else f"{len(models)} models", models)


def _not_the_api(path: str) -> str:
    """What is said of a web site, which answers 200 to whatever is asked, where the provider's API should be."""
    return f"no JSON from {path}: is its base_url right?"


async def _test(config: ProviderConfig, key: ApiKeyConfig, questions: Questions) -> KeyReport:
    path = DIALECTS[config.dialect].key_path
    try:
        reply = await _asked(config, key.secret.get_secret_value(), questions, path or "/models")
        if reply.status in _REFUSED:
            return KeyReport(key.variable, "refused", f"status {reply.status}")
        if reply.status != 200:
            return KeyReport(key.variable, "not tested", f"status {reply.status}")
        if reply.value is None:
            return KeyReport(key.variable, "not tested", _not_the_api(path or "/models"))
        if path is not None:
            models = _models_of(await _asked(config, key.secret.get_secret_value(), questions, "/models"))
            return KeyReport(key.variable, "good", _credits(reply.value), models)
        wrong = await _asked(config, _WRONG_KEY, questions, "/models")
    except UpstreamError as error:
        forget(error)
        return KeyReport(key.variable, "no answer", error.message)
    models = _models_of(reply)
    if wrong.status in _REFUSED:
        return KeyReport(key.variable, "good", "", models)
    return KeyReport(key.variable, "not tested", "its list of models is open to every key", models)


async def _asked(config: ProviderConfig, key: str, questions: Questions, path: str) -> ServerReply:
    name, _, template = config.auth_header.partition(": ")
    field_value = template.replace("${API_KEY}", key)
    return await questions.get(f"{config.base_url}{path}", [(name.encode("ascii"), field_value.encode("ascii"))])


def _models_of(reply: ServerReply) -> tuple[str, ...] | None:
    listed = reply.value.get("data", ...) if isinstance(reply.value, dict) else ...
    if listed is None:
        return ()  # so Ollama says that it has none
    if not isinstance(listed, list):
        return None
    names = [each.get("id") for each in listed if isinstance(each, dict)]
    return tuple(name.removeprefix("models/") for name in names if isinstance(name, str))


def _credits(value: Any) -> str:
    """What OpenRouter tells of a key (https://openrouter.ai/docs/api-reference/limits)."""
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(data, dict):
        return ""
    parts = []
    if isinstance(data.get("usage"), (int, float)):
        parts.append(f"{data['usage']:.2f} USD used")
    if isinstance(data.get("limit_remaining"), (int, float)):
        parts.append(f"{data['limit_remaining']:.2f} USD left")
    if data.get("is_free_tier") is True:
        parts.append("free tier")
    return ", ".join(parts)
