"""What a configuration holds, once it has been checked. All values are frozen."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator

from skyproxy.config import rules
from skyproxy.config.dialect import Dialect, guess
from skyproxy.config.fields import (
    Bytes,
    Checked,
    Count,
    Fallbacks,
    Fields,
    Headers,
    Host,
    Hosts,
    Listen,
    Name,
    OnOff,
    OptionalPath,
    Origins,
    Seconds,
    SecondsOrNone,
    Share,
    Text,
    Variables,
    frozen,
    none_if_empty,
    on_or_off,
)
from skyproxy.config.files import Source
from skyproxy.config.prices import Price
from skyproxy.config.proxies import Via, checked_proxy_url
from skyproxy.config.resilience import (
    ApiKeyConfig,
    Breaker,
    BreakerSettings,
    Cache,
    CacheRule,
    CacheSettings,
    OptionalCache,
    Priority,
)

LogLevel = Literal["debug", "info", "warn", "error"]

_LEVELS = {"trace": "debug", "warning": "warn"}


LOOPBACK_CONNECT_TIMEOUT = 0.4


def _level(value: Any) -> Any:
    return _LEVELS.get(value.lower(), value.lower()) if isinstance(value, str) else value


def _priority(value: Any) -> Any:
    # Its name in the first version.
    return "interactive" if value == "talk" else value


class Address(Checked):
    """Where to listen, as the founding proxy's files write it."""

    listen_address: Host = "127.0.0.1"
    listen_port: Annotated[int, Field(ge=0, le=65535)] = 35791

    def endpoints(self) -> tuple[str, ...]:
        """The Twisted endpoints of this address."""
        if "listen_address" not in self.model_fields_set or self.listen_address == "localhost":
            return rules.on_this_machine(self.listen_port)
        return (rules.endpoint_of(self.listen_address, self.listen_port),)


class ProxySettings(Checked):
    """skyproxy's own side.

    :ivar listen: Twisted endpoints.
    :ivar log_file: for the log in JSON lines; None: no such file.
    :ivar fallback_to_default: whether a model that nobody knows is served by the slot ``default``.
    :ivar max_body: bytes of a request's body, as sent and when inflated.
    :ivar stop_delay: seconds for which ``/readyz`` says that the process stops, before it does.
    :ivar drain_timeout: seconds that requests under way get when the process stops.
    :ivar header_timeout: seconds for a request's head to arrive.
    :ivar body_timeout: seconds for its body.
    :ivar stall_timeout: seconds in which a client must have read something of its answer.
    :ivar cors_origins: of browser pages that may ask, besides those from this machine; ``*`` is all.
    :ivar allowed_hosts: names by which programs on this machine may ask, besides its own; ``*`` is all.
    :ivar cache: the stores of answers, for the providers and slots that keep some.
    :ivar watch: whether the configuration is read again when one of its files changes. By default where no SIGHUP can
        ask for that.
    """

    listen: Listen = Address().endpoints()
    log_file: OptionalPath = None
    log_level: Annotated[LogLevel, BeforeValidator(_level)] = "info"
    fallback_to_default: bool = False
    max_body: Bytes = 10 * 1024 * 1024
    stop_delay: SecondsOrNone = 0.0
    drain_timeout: Seconds = 10.0
    header_timeout: Seconds = 10.0
    body_timeout: Seconds = 60.0
    stall_timeout: Seconds = 60.0
    cors_origins: Origins = ()
    allowed_hosts: Hosts = ()
    cache: CacheSettings = CacheSettings()
    watch: bool = not hasattr(signal, "SIGHUP")


class ProviderDefaults(Checked):
    """What ``defaults:`` can say for all providers.

    :ivar max_connections: idle connections that are kept for reuse.
    :ivar max_concurrent: requests at once, streams to their end. Where nobody has set it, a local server is asked.
    :ivar max_pending: requests that may wait for one of these; one more is refused.
    :ivar keep_alive: seconds that an idle connection is kept.
    :ivar keep_alive_max: seconds, at most, that it is kept where the provider asks for more.
    :ivar connect_timeout: seconds, TLS included. Within this machine :data:`LOOPBACK_CONNECT_TIMEOUT` if not said.
    :ivar default_timeout: seconds to the first content of a stream, or to the end of a whole answer; None: see
        :attr:`ProviderConfig.stream_timeout` and :attr:`ProviderConfig.whole_timeout`.
    :ivar idle_timeout: seconds between two reads of a stream.
    :ivar queue_timeout: seconds to wait for a permit.
    :ivar tls_sessions: TLS sessions that are kept for resumption.
    :ivar max_retries: attempts after the first.
    :ivar breaker: when it is left alone; None: never.
    :ivar rate_guard: whether its 429s tell how many requests of a key and model it gets.
    :ivar adaptive: the old name of ``rate_guard``.
    :ivar background_share: accepted, without effect; so is ``retry_after_max``.
    :ivar cache: of answers.
    :ivar coalesce: whether equal requests under way share one answer; None: where all answers would be the same.
    :ivar http2: ``auto`` speaks it where the provider offers it; ``on`` and ``off`` insist.
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

    :ivar base_url: without a trailing slash; or ``embedded:demo``.
    :ivar api_key_env: the variables that hold its keys; None: the provider wants none.
    :ivar api_keys: what those variables hold that hold anything, in their order.
    :ivar api_key: the first of these.
    :ivar key_missing: those variables, for messages, if all hold nothing.
    :ivar header_secrets: what its ``headers`` got from variables, and is not to be shown.
    :ivar auth_header: ``Name: value`` with ``${API_KEY}`` in the value.
    :ivar headers: sent with every request besides; variables are filled in.
    :ivar allowed_fields: of a client's body; others are dropped. None allows all.
    :ivar dialect: whose rules apply; if not given, the provider's name or host tells.
    :ivar ca_file: has certificates of authorities that are trusted besides the system's.
    :ivar ca_certificates: those, in DER.
    :ivar verify: False: over https, whoever answers is taken for the provider.
    :ivar proxy_url: of the proxy that makes its connections; ``off``: there is none, whatever the environment says.
    :ivar via: that proxy; None: there is none.
    :ivar streaming_adapter: read for the founding proxy's files; streams pass through as they are.
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
        """What is not to be shown: its keys, and what its headers hold of variables."""
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

    :ivar model: as the provider calls it.
    :ivar params: body fields for requests that do not bring them.
    :ivar force: body fields whatever the request brings.
    :ivar enable_reasoning: switches reasoning on or off; None leaves it to the request.
    :ivar default_timeout: seconds, in place of the provider's; so are the next two.
    :ivar fallbacks: what is asked when this model fails, in order: ``provider:model``, or other slots.
    :ivar first_token_timeout: seconds to the first content, after which a fallback is asked; None: no such limit.
    :ivar hedge_after: seconds to the first content, after which a fallback is asked besides, and the first to answer
        wins; None: never.
    :ivar priority: in the queue for a permit.
    :ivar strip_reasoning: whether what the model thought is taken out of its answers.
    :ivar cache: in place of the provider's; so is the next. None leaves it to the provider.
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


class Config(Checked):
    """Everything, as it was read at one moment.

    :ivar prices: by ``provider:model``, or a pattern of that or of a model's name; see
        :func:`~skyproxy.config.prices.price_of`.
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
    source: str
    found: Source | None = None
    paths: tuple[Path, ...] = ()
    watched: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_demo(self) -> bool:
        """Whether it is the one that is served where there is none."""
        return self.found is None and not self.paths
