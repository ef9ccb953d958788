"""What an action is about, checked against the configuration."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from skyproxy.config import Config
from skyproxy.config.overlay import Setting, problem_of
from skyproxy.errors import InvalidRequest, NotFound
from skyproxy.pipeline.changes import Change, Conflict, Target
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.guards.breaker import BreakerState
from skyproxy.util.close_matches import nearest


def checked_target(config: Config, asked: Target) -> Target:
    """*asked*, which names a slot, a provider, or a provider and a model.

    :raise InvalidRequest: it names neither, or both.
    :raise NotFound: there is none of this name.
    """
    if asked.key:
        raise InvalidRequest("A key is not meant here.", param="key")
    if bool(asked.slot) == bool(asked.provider) or (asked.slot and asked.model):
        raise InvalidRequest("Name a slot, or a provider, or a provider and a model.", param="provider")
    if asked.slot:
        _check_name("slot", asked.slot, list(config.model_slots))
    else:
        _check_name("provider", asked.provider, list(config.providers))
    return asked


def key_of(config: Config, asked: Target) -> Target:
    """*asked*, which names a provider and one of its keys, by its variable.

    :raise InvalidRequest: it names something else.
    :raise NotFound: there is none of this name.
    """
    if not asked.provider or not asked.key or asked.slot or asked.model:
        raise InvalidRequest("Name a provider, and the variable of one of its keys.", param="key")
    _check_name("provider", asked.provider, list(config.providers))
    variables = [each.variable for each in config.providers[asked.provider].api_keys]
    _check_name(f"key of {asked.provider}", asked.key, variables)
    return asked


def refuse_last_key(config: Config, changes: Iterable[Change], about: Iterable[Change]) -> None:
    """See that a key is left of each provider that *about*, some of *changes*, put a key of aside.

    :raise Conflict: there is none.
    """
    aside = {each.target for each in changes if each.kind == "aside"}
    for each in about:
        name, key = each.target.provider, each.target.key
        if each.kind == "aside" and all(
            Target(provider=name, key=known.variable) in aside for known in config.providers[name].api_keys
        ):
            raise Conflict(f"{key} is the last key of {name}: pause the provider instead.")


def checked_profile(config: Config, name: str) -> str:
    """*name*, which is a profile's.

    :raise NotFound: there is none of this name.
    """
    _check_name("profile", name, list(config.profiles))
    return name


def check_settings(config: Config, settings: Collection[Setting]) -> None:
    """See that all can be set.

    :raise InvalidRequest: one cannot, or there is none.
    """
    for each in settings:
        problem = problem_of(config, each)
        if problem is not None:
            raise InvalidRequest(problem if problem.endswith("?") else f"{problem}.", param=each.key)
    if not settings:
        raise InvalidRequest("Nothing is to be set.", param="set")


def close_breakers(provider: Provider, model: str) -> list[str | None]:
    """Close those of *provider*, or of a *model* of it.

    :return: of which models they were that were not closed; None: that of all of it.
    """
    breakers: dict[str | None, Any] = {} if model else {None: provider.guards.breaker}
    breakers |= {each.model: each.breaker for each in provider.deployments if model in ("", each.model)}
    open_before = [
        name for name, each in breakers.items() if each is not None and each.state is not BreakerState.CLOSED
    ]
    for each in breakers.values():
        if each is not None:
            each.close()
    return open_before


def _check_name(what: str, name: str, known: list[str]) -> None:
    if name not in known:
        near = nearest(name, known)
        hint = f"Did you mean {near!r}?" if near else f"There are {', '.join(known) or 'none'}."
        raise NotFound(f"There is no {what} {name[:100]!r}. {hint}")
