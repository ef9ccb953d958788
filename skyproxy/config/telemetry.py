"""Where spans go: OpenTelemetry."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from skyproxy.config import rules
from skyproxy.config.fields import Checked, frozen

_EXTRA = 'needs what is not installed: pip install "skyproxy[otel]"'


def _url(value: str) -> str:
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be a URL in ASCII without spaces")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("must be a URL such as http://127.0.0.1:4318") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise ValueError("must be a URL such as http://127.0.0.1:4318")
    if "@" in parts.netloc:
        raise ValueError('must not contain credentials: headers are for these, as in {Authorization: "${NAME}"}')
    if port == 4317:
        raise ValueError("must not be the port of gRPC, 4317: spans go over HTTP, mostly to 4318")
    if not has_extra():
        raise ValueError(_EXTRA)
    return value


def has_extra() -> bool:
    """Whether what writes spans is installed."""
    try:
        return find_spec("opentelemetry.proto.trace.v1.trace_pb2") is not None
    except ModuleNotFoundError:
        return False


def _headers(values: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
    for name, value in values.items():
        if name.lower() != "authorization":
            try:
                rules.header_name(name)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        try:
            rules.header_value(value.get_secret_value())
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return frozen(values)


class TelemetrySettings(Checked):
    """Spans of OpenTelemetry, for each request; they want ``pip install "skyproxy[otel]"``.

    :ivar endpoint: the receiver, which takes OTLP over HTTP, such as ``http://127.0.0.1:4318``; without it there are no
        spans. ``/v1/traces`` is added where it has no path.
    :ivar headers: what it wants besides; ``${NAME}`` in a value is a variable of the environment or of ``.env``.
    :ivar service_name: what skyproxy is called there.
    :ivar sample: the share of requests that are recorded, of those that come without a ``traceparent``, which decides
        for its own.
    :ivar propagate: whether providers get a ``traceparent``, too.
    """

    endpoint: Annotated[str, AfterValidator(_url)] | None = None
    headers: Annotated[Mapping[str, SecretStr], AfterValidator(_headers)] = Field(default={}, validate_default=True)
    service_name: Annotated[str, Field(min_length=1, max_length=200)] = "skyproxy"
    sample: Annotated[float, Field(ge=0, le=1)] = 1.0
    propagate: bool = True

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is not to be shown."""
        return tuple(value.get_secret_value() for value in self.headers.values())
