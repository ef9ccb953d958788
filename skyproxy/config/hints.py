"""What works in a configuration, but perhaps not as it was meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from ipaddress import ip_address

from skyproxy.config.access import AccessSettings
from skyproxy.config.addresses import of_address
from skyproxy.config.listen_address import address_in
from skyproxy.config.model_names import parse_model_name
from skyproxy.config.proxy_settings import ProxySettings
from skyproxy.config.schema import ProviderConfig, SlotConfig
from skyproxy.config.variables import Variables

DEFAULT_SLOT = "default"

SKYRIMNET_SLOTS = (
    "default", "combat", "action_evaluation", "meta", "vision", "gamemaster_evaluation", "memory", "AgentDefault",
    "DiaryGeneration", "CharacterProfileGeneration", "UniversalTranslator",
)  # fmt: skip
"""What SkyrimNet asks for."""

_MANY_SECONDS = 5000

_NONE = ("none", "null", "no", "off", "false", "empty")
"""Written for no variable."""

_NO_EFFECT = ("background_share", "retry_after_max")
_NO_EFFECT_IN_BREAKER = ("failure_rate", "min_requests", "window", "probes")


def hints(
    proxy: ProxySettings,
    providers: Mapping[str, ProviderConfig],
    slots: Mapping[str, SlotConfig],
    variables: Variables,
    access: AccessSettings,
) -> tuple[str, ...]:
    """One sentence for each, the gravest first.

    :param variables: tell why one of them may hold nothing.
    """
    found = []
    if access.required == "false" and (access.trust_forwarded_from or any(map(is_public, proxy.listen))):
        found.append(
            "Anybody who reaches proxy.listen can use the providers and spend their keys, for access.required is "
            "false. To ask clients for keys, take that line out and make one for each: skyproxy keys create NAME. To "
            "serve this machine alone, listen at 127.0.0.1 (listen: tcp:35791:interface=127.0.0.1, or "
            "listen_address: 127.0.0.1)."
        )
    found.extend(_of_verification(name, provider) for name, provider in providers.items() if not provider.verify)
    asked_for = {variable for each in providers.values() for variable in each.api_key_env or ()}
    idle = _unused(providers, slots)
    for name, provider in providers.items():
        if name not in idle:
            found.extend(_of_keys(name, provider, variables, asked_for))
        found.extend(of_address(name, provider.base_url, proxy.listen))
        found.extend(_of_times(name, provider))
        found.extend(_of_limits(name, provider))
    keyless = [repr(name) for name in idle if providers[name].key_missing is not None]
    if keyless:
        found.append(f"No slot uses these providers, which have no key: {', '.join(keyless)}.")
    found.extend(_without_effect(providers.values()))
    if proxy.fallback_to_default and DEFAULT_SLOT not in slots:
        found.append(f"fallback_to_default has no effect: there is no slot {DEFAULT_SLOT!r}.")
    found.extend(
        f"Slot {name!r} is not the slot {meant!r}: capital letters make another name."
        for name in slots
        for meant in SKYRIMNET_SLOTS
        if name != meant and name.casefold() == meant.casefold() and meant not in slots
    )
    for name, slot in slots.items():
        if slot.model.startswith(f"{slot.provider}:"):
            found.append(
                f"model of slot {name!r} begins with its provider's name and a colon, which the provider gets, too: "
                "leave them out."
            )
        found.extend(
            f"{key} of slot {name!r} has no effect: the slot has no fallbacks."
            for key in ("first_token_timeout", "hedge_after")
            if getattr(slot, key) is not None and not slot.fallbacks
        )
    return tuple(found)


def _unused(providers: Mapping[str, ProviderConfig], slots: Mapping[str, SlotConfig]) -> list[str]:
    """The providers that no slot leads to. Without slots, clients name the providers themselves."""
    used = {slot.provider for slot in slots.values()}
    used |= {parse_model_name(name).provider for slot in slots.values() for name in slot.fallbacks if name not in slots}
    return [name for name in providers if name not in used] if slots else []


def is_public(listen: str) -> bool:
    """Whether the endpoint *listen* can be reached from other machines. Of kinds that are not known here: False."""
    address = address_in(listen)
    if address is None or address.interface == "localhost":
        return False
    try:
        return not ip_address(address.interface).is_loopback
    except ValueError:
        return True  # all addresses, or a name


def _without_effect(providers: Iterable[ProviderConfig]) -> list[str]:
    keys: dict[str, None] = {}
    for provider in providers:
        keys.update((key, None) for key in _NO_EFFECT if key in provider.model_fields_set)
        if provider.breaker is not None:
            given = provider.breaker.model_fields_set
            keys.update((f"breaker.{key}", None) for key in _NO_EFFECT_IN_BREAKER if key in given)
    return [f"These keys are read, but have no effect any more: {', '.join(keys)}."] if keys else []


def _of_verification(name: str, provider: ProviderConfig) -> str:
    hint = (
        f"TLS certificates of provider {name!r} are not checked (verify: false): whoever is on the way to it can read "
        "and change all that is said, and take its key. Name its authority in ca_file instead."
    )
    return hint if provider.ca_file is None else f"{hint} The ca_file that it has is of no effect beside verify: false."


def _of_keys(name: str, provider: ProviderConfig, variables: Variables, asked_for: Collection[str]) -> list[str]:
    def hint(variable: str) -> str:
        return variables.hint(variable, asked_for)

    if provider.key_missing is not None:
        why = hint(provider.api_key_env[0]) if provider.api_key_env else ""
        place = variables.place or ".env"
        if provider.dialect == "local" or provider.key_missing.lower() in _NONE:
            why += " If it wants no key, leave api_key_env out."
        return [f"{no_key(name)}: set {provider.key_missing} in the environment or in {place}.{why}"]
    present = {key.variable for key in provider.api_keys}
    return [
        f"Provider {name!r} goes without one of its keys: {variable} is not set in the environment or in .env."
        + hint(variable)
        for variable in provider.api_key_env or ()
        if variable not in present
    ]


def no_key(provider: str) -> str:
    """How the sentence begins which says that *provider* has no key."""
    return f"Provider {provider!r} has no key"


def _of_times(name: str, provider: ProviderConfig) -> list[str]:
    """Timeouts of more than an hour, which were probably meant in milliseconds."""
    return [
        f"{key} of provider {name!r} is {value:,.0f} s: numbers are seconds; did you mean {value / 1000:g}s?"
        for key in ("connect_timeout", "default_timeout", "idle_timeout", "queue_timeout")
        if isinstance(value := getattr(provider, key), (int, float)) and value >= _MANY_SECONDS
    ]


def _of_limits(name: str, provider: ProviderConfig) -> list[str]:
    connections, concurrent = provider.max_connections, provider.max_concurrent
    may_share = provider.http2 == "on" or (provider.http2 == "auto" and provider.base_url.startswith("https:"))
    # Who sets the number of connections alone means just that.
    if may_share or concurrent <= connections or "max_concurrent" not in provider.model_fields_set:
        return []
    return [
        f"max_concurrent of provider {name!r} is {connections}, not {concurrent}: over HTTP/1.1 each request takes a "
        f"connection, and max_connections is {connections}."
    ]
