"""From the name of a model to the providers that can serve it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from skyproxy.access.identity import ClientIdentity
from skyproxy.access.refusals import model_not_allowed
from skyproxy.config import CacheRule, Config, Priority, ProviderConfig, SlotConfig
from skyproxy.config.model_names import parse_model_name
from skyproxy.errors import UnknownModel
from skyproxy.pipeline.changes import NO_PAUSES, Change, Paused, Pauses
from skyproxy.pipeline.since import Candidates
from skyproxy.telemetry.prices.prices import Prices
from skyproxy.telemetry.prices.table import PriceTable
from skyproxy.upstream.exchange.timeouts import Timeouts
from skyproxy.util.close_matches import close_matches

_T = TypeVar("_T")

DEFAULT_SLOT = "default"
_LISTED = 5
"""Names that the message of an unknown model lists."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to serve a request.

    :ivar slot: the slot that was asked for; None for ``provider:model``.
    :ivar model: as the provider calls it.
    :ivar settings: the slot's; None for ``provider:model``.
    :ivar timeouts: of a request to it.
    :ivar prices: know what its answers cost.
    :ivar priority: in the queue for a permit.
    :ivar hedge_after: seconds to the first content, after which the next candidate is asked besides.
    :ivar strip_reasoning: whether what the model thought is left out.
    :ivar cache: whether and where answers are kept.
    :ivar own_names: whether answers carry the name that the client has for the model.
    :ivar coalesce: whether equal requests under way share one answer; None: where all answers would be the same.
    """

    slot: str | None
    provider: ProviderConfig
    model: str
    settings: SlotConfig | None
    timeouts: Timeouts
    cache: CacheRule
    coalesce: bool | None
    prices: Prices
    priority: Priority = "interactive"
    hedge_after: float | None = None
    strip_reasoning: bool = False
    own_names: bool = True


class Router:
    """Knows the slots and providers of a configuration.

    What a slot resolves to is worked out once, not for each request.

    :param table: of prices; None: the one that comes with skyproxy.
    :param pauses: what is not asked, of what is configured.
    :ivar prices: know what answers cost.
    """

    def __init__(self, config: Config, table: PriceTable | None = None, pauses: Pauses = NO_PAUSES) -> None:
        self._pauses = pauses
        self._providers = config.providers
        self.prices = Prices(config.prices, config.providers, table)
        self._own_names = config.proxy.model_names == "client"
        self._names = tuple(config.model_slots)
        self._slots: dict[str, tuple[Candidate, ...]] = {}
        for slot in config.model_slots.values():
            self._resolve_slot(config, slot)
        self._configured = dict(self._slots)
        self._slots = {name: _with_keys(found) for name, found in self._configured.items()}
        self._paused: dict[str, Change] = {}
        if pauses:
            self._leave_out_paused()
        self._has_default = config.proxy.fallback_to_default and DEFAULT_SLOT in self._configured

    def _resolve_slot(self, config: Config, slot: SlotConfig) -> tuple[Candidate, ...]:
        """The slot's own model, then what it falls back to: models under its settings, or other slots with theirs."""
        if slot.name in self._slots:
            return self._slots[slot.name]
        found = [self._with_settings(config.providers[slot.provider], slot.model, slot)]
        for fallback in slot.fallbacks:
            if fallback in config.model_slots:
                found += self._resolve_slot(config, config.model_slots[fallback])
            else:
                name, model = parse_model_name(fallback)
                found.append(self._with_settings(config.providers[name], model, slot))
        different: dict[tuple[str, str], Candidate] = {}
        for each in found:
            different.setdefault((each.provider.name, each.model), each)
        resolved = self._slots[slot.name] = tuple(different.values())
        return resolved

    def _leave_out_paused(self) -> None:
        for name, found in self._configured.items():
            left = tuple(each for each in found if self._pauses.of(each.provider.name, each.model) is None)
            why = self._pauses.slots.get(name)
            if why is None and not left:
                why = self._pauses.of(found[0].provider.name, found[0].model)
            if why is not None:
                self._paused[name] = why
                del self._slots[name]
            else:
                self._slots[name] = _with_keys(left)

    def candidates(self, model: str) -> tuple[Candidate, ...]:
        """The candidates for *model*, best first; never empty.

        :raise UnknownModel: it names neither a slot nor a model of a provider.
        :raise Paused: somebody has paused it, or all its candidates.
        """
        known = self._slots.get(model)
        if known is not None:
            return known
        if model in self._paused:
            raise _paused(self._paused[model])
        named = parse_model_name(model)
        if named.is_complete and named.provider in self._providers:
            why = self._pauses.of(named.provider, named.model)
            if why is not None:
                raise _paused(why)
            return (self._of_provider(self._providers[named.provider], named.model),)
        if self._has_default:
            return self.candidates(DEFAULT_SLOT)
        raise UnknownModel(self._advice(model), param="model")

    def served_as(self, model: str) -> str | None:
        """The slot, or ``provider:model``, that requests for *model* go to, paused or not; None: to none."""
        if model in self._configured:
            return model
        named = parse_model_name(model)
        if named.is_complete and named.provider in self._providers:
            return model
        return DEFAULT_SLOT if self._has_default else None

    def check_allowed(self, model: str, identity: ClientIdentity) -> None:
        """See that the client, which may not ask for everything, may ask for what serves *model*.

        What stands behind a slot, its fallbacks, is for the configuration to say. A client that may not ask for
        everything hears nothing of what else there is.

        :raise ModelNotAllowed: it may not, or there is no such model.
        """
        served = self.served_as(model)
        if served is None or not identity.may_ask_for(served):
            raise model_not_allowed(model, [name for name in self.model_ids() if identity.may_ask_for(name)])

    def configured(self, slot: str) -> tuple[Candidate, ...]:
        """The candidates of *slot*, those that are paused, or have no key, among them."""
        return self._configured[slot]

    def served(self) -> dict[str, Candidates]:
        """The provider and the model of each candidate of each slot, likewise."""
        return {
            slot: tuple((each.provider.name, each.model) for each in candidates)
            for slot, candidates in self._configured.items()
        }

    @property
    def default_model(self) -> str | None:
        """What serves requests that name no model; None: nothing does."""
        return DEFAULT_SLOT if self._has_default else None

    def model_ids(self) -> list[str]:
        """What a client can name: the slots, in the configuration's order."""
        return list(self._names)

    def _advice(self, model: str) -> str:
        provider = parse_model_name(model).provider
        if provider in self._providers:
            return f"{model!r} names a provider, and no model of it: ask for '{provider}:MODEL'."
        near = close_matches(model, [*self._configured, *(f"{name}:" for name in self._providers)], 3)
        if near:
            hint = f"Did you mean {_listed(near)}?"
        elif self._configured:
            hint = f"Slots are {_listed(self.model_ids()[:_LISTED])}; GET /v1/models lists all."
        else:
            hint = f"Name a provider's model: {_listed([f'{name}:MODEL' for name in self._providers][:_LISTED])}."
        return f"No model slot {model[:100]!r}, and no provider of that name. {hint}"

    def _with_settings(self, provider: ProviderConfig, model: str, slot: SlotConfig) -> Candidate:
        return Candidate(
            slot=slot.name,
            provider=provider,
            model=model,
            settings=slot,
            timeouts=Timeouts(
                connect=provider.connect_timeout,
                queue=_first(slot.queue_timeout, provider.queue_timeout),
                stream=_first(slot.default_timeout, provider.stream_timeout),
                whole=_first(slot.default_timeout, provider.whole_timeout),
                idle=_first(slot.idle_timeout, provider.idle_timeout),
                first_token=slot.first_token_timeout,
            ),
            cache=_first(slot.cache, provider.cache),
            coalesce=_first(slot.coalesce, provider.coalesce),
            prices=self.prices,
            priority=slot.priority,
            hedge_after=slot.hedge_after,
            strip_reasoning=slot.strip_reasoning,
            own_names=self._own_names,
        )

    def _of_provider(self, provider: ProviderConfig, model: str) -> Candidate:
        return Candidate(
            slot=None,
            provider=provider,
            model=model,
            settings=None,
            timeouts=Timeouts(
                connect=provider.connect_timeout,
                queue=provider.queue_timeout,
                stream=provider.stream_timeout,
                whole=provider.whole_timeout,
                idle=provider.idle_timeout,
            ),
            cache=provider.cache,
            coalesce=provider.coalesce,
            prices=self.prices,
            own_names=self._own_names,
        )


def _with_keys(found: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """*found* without the fallbacks whose provider has no key, which nobody can ask: a slot that has no other waits for
    its own provider, as a slot without fallbacks does.
    """
    return (found[0], *(each for each in found[1:] if each.provider.key_missing is None))


def _paused(change: Change) -> Paused:
    slot = change.target.slot
    what, name = (f"Slot {slot}", slot) if slot else (str(change.target), str(change.target))
    return Paused(f"{what} is paused by hand; `skyproxy resume {name}` resumes it.")


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _first(own: _T | None, general: _T) -> _T:
    return general if own is None else own
