"""What a configuration holds, once it has been checked. All values are frozen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator

from skyproxy.config import rules
from skyproxy.config.access import AccessSettings, ClientConfig
from skyproxy.config.budgets import Budget
from skyproxy.config.dialect import Dialect, guess
from skyproxy.config.fields import (
    Checked,
    Count,
    Fallbacks,
    Fields,
    Headers,
    Name,
    OnOff,
    OptionalPath,
    Seconds,
    Share,
    Text,
    Variables,
    frozen,
    none_if_empty,
    on_or_off,
)
from skyproxy.config.files import Source
from skyproxy.config.prices import Price
from skyproxy.config.profiles import Profile
from skyproxy.config.proxies import Via, checked_proxy_url
from skyproxy.config.proxy_settings import ProxySettings
from skyproxy.config.resilience import (
    ApiKeyConfig,
    Breaker,
    BreakerSettings,
    Cache,
    CacheRule,
    OptionalCache,
    Priority,
)

LOOPBACK_CONNECT_TIMEOUT = 0.4


def _priority(value: Any) -> Any:
    # Its name in the first version.
    return "interactive" if value == "talk" else value


class ProviderDefaults(Checked):
    """What ``defaults:`` can say for all providers.

    :ivar max_connections: the idle connections that are kept for reuse. Over HTTP/1.1 no more requests go at once.
    :ivar max_concurrent: the requests that the provider gets at once; a stream counts to its end. Where nobody says it,
        a server of the dialect ``local`` is asked how many it answers.
    :ivar max_pending: the requests that may wait for a permit. One more is answered by 503 at once.
    :ivar keep_alive: how long an idle connection is kept.
    :ivar keep_alive_max: how long at most it is kept where the provider asks for more.
    :ivar connect_timeout: how long a connection may take, TLS included. For http on this machine it is 0.4 s if nobody
        says it.
    :ivar default_timeout: how long a stream may take to its first content, and a whole answer to its end. Without it
        these are 60 s and 5 m, and 10 m for the dialect ``local``, which may have to load a model.
    :ivar idle_timeout: how long a stream may be silent after its first content.
    :ivar queue_timeout: how long a request may wait for a permit.
    :ivar tls_sessions: the TLS sessions that are kept for resumption.
    :ivar max_retries: how often a request is sent again that failed in a way in which asking again can help.
    :ivar retry_after_max: still read, without effect.
    :ivar breaker: when a provider, or one of its models, is left alone; ``off`` means never.
    :ivar rate_guard: whether 429s teach how many requests of one key and model the provider takes. It is on if neither
        this nor ``adaptive`` says otherwise.
    :ivar adaptive: the old name of ``rate_guard``.
    :ivar background_share: still read, without effect.
    :ivar cache: whether answers are kept to be given again.
    :ivar coalesce: whether equal requests under way share one answer. Without it those do of which all answers would be
        the same: with temperature 0, or a seed.
    :ivar http2: whether HTTP/2 is spoken: ``auto`` where the provider offers it; ``on`` and ``off`` insist.
    """

    max_connections: Count = 50
    max_concurrent: Count = 25
    max_pending: Annotated[int, Field(ge=0)] = 100
    keep_alive: Seconds = 60.0
    keep_alive_max: Seconds = 300.0
    connect_timeout: Seconds = 10.0
    default_timeout: Seconds | None = None
    idle_timeout: Seconds = 30.0
    queue_timeout: Seconds = 30.0
    tls_sessions: Annotated[int, Field(ge=0)] = 100
    max_retries: Annotated[int, Field(ge=0)] = 2
    retry_after_max: Seconds = 10.0
    breaker: Breaker = BreakerSettings()
    rate_guard: OnOff | None = None
    adaptive: OnOff | None = None
    background_share: Share = 0.1
    cache: Cache = CacheRule(store="off")
    coalesce: bool | None = None
    http2: Annotated[Literal["auto", "on", "off"], BeforeValidator(on_or_off)] = "auto"

    @property
    def guards_rates(self) -> bool:
        """Whether there is a rate guard: by either of its names, and otherwise there is."""
        by_old_name = True if self.adaptive is None else self.adaptive
        return by_old_name if self.rate_guard is None else self.rate_guard


class ProviderConfig(ProviderDefaults):
    """One provider.

    :ivar name: the key under which it stands.
    :ivar base_url: where its API is, with or without ``/chat/completions``; or ``embedded:demo``.
    :ivar api_key_env: the variable of the environment, or of ``.env``, that holds its key, or a list of several.
        Without it the provider gets no key.
    :ivar api_keys: what those variables hold that hold anything, in their order.
    :ivar api_key: the first of these.
    :ivar key_missing: those variables, for messages, if all hold nothing.
    :ivar header_secrets: what its ``headers`` got from variables, or hold by their names, and is not to be shown.
    :ivar auth_header: the header field that carries the key, with ``${API_KEY}`` in its place.
    :ivar headers: header fields that every request gets; ``${NAME}`` in a value is a variable of the environment or
        ``.env``.
    :ivar allowed_fields: the fields of a client's body that go up; others are dropped. Without it all go up.
    :ivar dialect: whose rules apply. Without it the provider's name or host tells.
    :ivar ca_file: a file with certificates of authorities, in PEM or DER, that are trusted besides the system's;
        relative to the file that names it.
    :ivar ca_certificates: those, in DER.
    :ivar verify: whether the provider's certificate is checked. Where it is not, skyproxy warns.
    :ivar proxy_url: the proxy that makes its connections; ``off`` means none, whatever the environment says.
    :ivar via: that proxy; None: there is none.
    :ivar streaming_adapter: still read, without effect: streams pass through as they are.
    :ivar budget: how much may be spent at the provider, such as ``5/day``.
    """

    name: Annotated[str, AfterValidator(rules.provider_name)]
    base_url: Annotated[str, AfterValidator(rules.base_url)]
    api_key_env: Variables = None
    api_keys: tuple[ApiKeyConfig, ...] = ()
    api_key: SecretStr | None = None
    key_missing: str | None = None
    header_secrets: tuple[SecretStr, ...] = ()
    auth_header: Annotated[str, AfterValidator(rules.auth_header)] = f"Authorization: Bearer {rules.KEY_PLACE}"
    headers: Headers = Field(default={}, validate_default=True, repr=False)
    allowed_fields: Annotated[frozenset[str], Field(strict=False)] | None = None
    dialect: Dialect = Field(default=None, validate_default=True)
    ca_file: OptionalPath = None
    ca_certificates: tuple[bytes, ...] = ()
    verify: bool = True
    proxy_url: Annotated[
        str | None, AfterValidator(checked_proxy_url), BeforeValidator(on_or_off), BeforeValidator(none_if_empty)
    ] = Field(default=None, repr=False)
    via: Via | None = None
    streaming_adapter: Text = None
    budget: Budget = None

    @field_validator("dialect", mode="before")
    @classmethod
    def _guess(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None:
            return value
        # Where these are wrong themselves, that is the problem to tell, not the dialect.
        return guess(info.data.get("name", ""), info.data.get("base_url", ""))

    @property
    def stream_timeout(self) -> float:
        """Seconds to the first content of a stream. Servers on this machine may have to load the model first."""
        return self.default_timeout or (600.0 if self.dialect == "local" else 60.0)

    @property
    def whole_timeout(self) -> float:
        """Seconds to the end of a whole answer."""
        return self.default_timeout or (600.0 if self.dialect == "local" else 300.0)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is not to be shown: its keys, and those that its headers hold."""
        return tuple(each.get_secret_value() for each in (*(key.secret for key in self.api_keys), *self.header_secrets))

    def auth(self, key: SecretStr | None = None) -> tuple[bytes, bytes] | None:
        """Name and value of the header that carries *key*, or :attr:`api_key`; None without either."""
        key = key or self.api_key
        if key is None:
            return None
        name, _, template = self.auth_header.partition(": ")
        value = template.replace(rules.KEY_PLACE, key.get_secret_value())
        return name.encode("ascii"), value.encode("ascii")


class SlotConfig(Checked):
    """One model slot: a name that clients ask for.

    :ivar name: the key under which it stands.
    :ivar provider: the provider that serves it, by its name under ``providers:``.
    :ivar model: the model, as the provider calls it.
    :ivar params: fields of the body for requests that do not bring them.
    :ivar force: fields of the body for all requests, whatever they bring.
    :ivar enable_reasoning: whether the model thinks before it speaks, in the words of the provider's dialect. Without
        it, the client's request decides.
    :ivar default_timeout: in place of the provider's.
    :ivar idle_timeout: in place of the provider's.
    :ivar queue_timeout: in place of the provider's.
    :ivar fallbacks: who is asked when this model fails, in order: ``provider:model``, or other slots.
    :ivar first_token_timeout: how long a stream may take to its first content before a fallback is asked in its place.
        Without it there is no such limit.
    :ivar hedge_after: how long it may take before a fallback is asked besides; the first to speak wins. Without it none
        is.
    :ivar priority: what goes first where requests wait for a permit. ``background`` waits behind ``interactive``.
    :ivar strip_reasoning: whether what the model thought is taken out of its answers.
    :ivar cache: in place of the provider's.
    :ivar coalesce: in place of the provider's.
    :ivar budget: how much may be spent by the slot's requests, such as ``5/day``.
    """

    name: Name
    provider: str
    model: Name
    params: Fields = Field(default={}, validate_default=True)
    force: Fields = Field(default={}, validate_default=True)
    enable_reasoning: bool | None = None
    default_timeout: Seconds | None = None
    idle_timeout: Seconds | None = None
    queue_timeout: Seconds | None = None
    fallbacks: Fallbacks = ()
    first_token_timeout: Seconds | None = None
    hedge_after: Seconds | None = None
    priority: Annotated[Priority, BeforeValidator(_priority)] = "interactive"
    strip_reasoning: bool = False
    cache: OptionalCache = None
    coalesce: bool | None = None
    budget: Budget = None


class Config(Checked):
    """Everything, as it was read at one moment.

    :ivar prices: by ``provider:model``, or a pattern of that or of a model's name; see
        :func:`~skyproxy.config.prices.price_of`.
    :ivar profiles: by name.
    :ivar rates: what one unit of a currency is worth in another, by both of their codes.
    :ivar clients: those that the configuration names, by name.
    :ivar access: who must bring a key.
    :ivar profile_token: what a game's hotkey brings to switch them; None: none can.
    :ivar digests: of the files, as they were just before they were read.
    :ivar source: what was read, for people.
    :ivar found: where it stands, and is read from again; None: it is the embedded one.
    :ivar paths: the files that were read.
    :ivar watched: the files whose change means another configuration, those that are not there yet among them.
    :ivar warnings: what works, but perhaps not as meant.
    """

    proxy: ProxySettings
    providers: Annotated[Mapping[str, ProviderConfig], AfterValidator(frozen)]
    model_slots: Annotated[Mapping[str, SlotConfig], AfterValidator(frozen)]
    prices: Annotated[Mapping[str, Price], AfterValidator(frozen)] = Field(default={}, validate_default=True)
    profiles: Annotated[Mapping[str, Profile], AfterValidator(frozen)] = Field(default={}, validate_default=True)
    rates: Annotated[Mapping[tuple[str, str], float], AfterValidator(frozen)] = Field(default={}, validate_default=True)
    clients: Annotated[Mapping[str, ClientConfig], AfterValidator(frozen)] = Field(default={}, validate_default=True)
    access: AccessSettings = AccessSettings()
    profile_token: SecretStr | None = None
    digests: Annotated[Mapping[Path, str], AfterValidator(frozen)] = Field(default={}, validate_default=True)
    source: str
    found: Source | None = None
    paths: tuple[Path, ...] = ()
    watched: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_demo(self) -> bool:
        """Whether it is the one that is served where there is none."""
        return self.found is None and not self.paths

    @property
    def keeps_in_redis(self) -> bool:
        """Whether a provider or a slot keeps answers in the store ``redis``."""
        rules = [each.cache for each in self.providers.values()]
        of_slots = [each.cache for each in self.model_slots.values()]
        return any(rule is not None and rule.store == "redis" for rule in (*rules, *of_slots))

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is not to be shown: that of its providers, of the receiver of spans and the store, and a token."""
        token = () if self.profile_token is None else (self.profile_token.get_secret_value(),)
        return (
            *(secret for provider in self.providers.values() for secret in provider.secrets),
            *self.proxy.secrets,
            *token,
        )
