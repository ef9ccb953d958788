"""What a text of the configuration may be. Each check gives the text back, normalised.

Their errors never repeat the text: it may be, or hold, a key that was written in the wrong place.
"""

from __future__ import annotations

import math
import re
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from skyproxy.config.listen_address import address_in

EMBEDDED_DEMO = "embedded:demo"
"""The base_url that stands for the demo provider within this process."""

KEY_PLACE = "${API_KEY}"
"""Where auth_header gets the key."""

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e]*")
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_CURRENCY = re.compile(r"[A-Z]{3}")
_PLACEHOLDER = re.compile(r"\$\{[^}]*\}?")
_DRIVE = re.compile(r"(?<==)([A-Za-z]):([\\/][^:]*)")
"""A path of Windows' in an endpoint, as people write it."""

_ENDPOINT = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*:.+")
_BARE_IPV6 = re.compile(r"interface=(?:[0-9A-Fa-f]{0,4}:){2}")
# What Twisted would not take for one of its own: a name with a dot, or an address.
_HOST_AND_PORT = re.compile(
    r"(localhost|\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+):([0-9]{1,6})", re.IGNORECASE
)
_ORIGIN_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}

# Hop-by-hop (RFC 9110, section 7.6.1), or made by the client of the connection itself.
_OWN_HEADERS = frozenset(
    {
        "connection", "content-length", "expect", "host", "keep-alive", "proxy-authenticate",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip


def name(value: str) -> str:
    """A name of a slot or a model.

    :raise ValueError: it is empty, or has characters that do not print.
    """
    if not value.strip():
        raise ValueError("must not be empty")
    if not value.isprintable():
        raise ValueError("must not contain line breaks and other characters that cannot be seen")
    return value


def provider_name(value: str) -> str:
    """A name of a provider.

    :raise ValueError: as :func:`name`, or it has a colon.
    """
    if ":" in value:
        raise ValueError("must not contain a colon: clients write `provider:model`")
    return name(value)


def base_url(value: str) -> str:
    """A provider's base URL, without a trailing slash or ``/chat/completions``; or :data:`EMBEDDED_DEMO`.

    :raise ValueError: it is not such a URL, or carries more than scheme, host, port and path.
    """
    if value == EMBEDDED_DEMO:
        return value
    if not _VISIBLE_ASCII.fullmatch(value) or "\\" in value:
        raise ValueError("must be a URL in ASCII without spaces, backslashes and control characters")
    parts = _split(value)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("must be a URL that begins with http:// or https:// and names a host")
    if "@" in parts.netloc:
        raise ValueError("must not contain credentials: name the key's variable in api_key_env")
    if "?" in value or "#" in value:
        raise ValueError("must not contain a query or a fragment")
    path = parts.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return f"{parts.scheme}://{_authority(parts)}{path}"


def origin(value: str) -> str:
    """An origin as browsers send it (RFC 6454, section 6.2), or ``*``.

    :raise ValueError: it is neither.
    """
    if value == "*":
        return value
    if not _VISIBLE_ASCII.fullmatch(value):
        raise ValueError("must be an origin such as https://chat.example.org, or *")
    parts = _split(value)
    if not _ORIGIN_SCHEME.fullmatch(parts.scheme) or not parts.netloc or "@" in parts.netloc:
        raise ValueError("must be an origin such as https://chat.example.org, or *")
    if parts.path not in ("", "/") or "?" in value or "#" in value:
        raise ValueError("must be an origin: scheme, host and port, without a path")
    return f"{parts.scheme}://{_authority(parts).removesuffix(f':{_DEFAULT_PORTS.get(parts.scheme)}')}"


def _split(value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        if parts.port == 0:
            raise ValueError
    except ValueError:
        raise ValueError("must be a URL with a valid host and port") from None
    return parts


def _authority(parts: SplitResult) -> str:
    host = listen_host(parts.hostname or "")
    shown = f"[{host}]" if ":" in host else host
    return shown if parts.port is None else f"{shown}:{parts.port}"


def listen_host(value: str) -> str:
    """A host name or an IP address; brackets of an IPv6 address are taken off.

    :raise ValueError: it is neither.
    """
    bare = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    try:
        return str(ip_address(bare))
    except ValueError:
        labels = bare.removesuffix(".").split(".")
        if _HOST.fullmatch(bare) and len(bare) <= 254 and all(1 <= len(label) <= 63 for label in labels):
            return bare.lower()
    raise ValueError("must be a host name or an IP address")


def allowed_host(value: str) -> str:
    """What the header Host may say, without a port; or ``*``.

    :raise ValueError: it is neither.
    """
    return value if value == "*" else listen_host(value)


def endpoint_of(host: str, port: int) -> str:
    """The Twisted endpoint of *host* and *port*."""
    try:
        IPv6Address(host)
    except ValueError:
        return f"tcp:{port}:interface={host}"
    escaped = host.replace(":", "\\:")
    return f"tcp:{port}:interface={escaped}"


def on_this_machine(port: int) -> tuple[str, ...]:
    """The Twisted endpoints of *port* for this machine alone: clients that are told localhost try either address first.

    A port that the system chooses is one, at 127.0.0.1: for two it would choose two.
    """
    hosts = ("127.0.0.1", "::1") if port else ("127.0.0.1",)
    return tuple(endpoint_of(host, port) for host in hosts)


def endpoints(value: object) -> tuple[str, ...]:
    """Twisted endpoints, of one or a list of these: such an endpoint, of which only the form is checked here; a port,
    for this machine alone; ``host:port``.

    :raise ValueError: one cannot be one, or stands there twice.
    """
    given = value if isinstance(value, (list, tuple)) else [value]
    found = tuple(endpoint for each in given for endpoint in _endpoints(each))
    if not found:
        raise ValueError("must name at least one endpoint")
    return distinct(found) or ()


def _endpoints(value: object) -> tuple[str, ...]:
    text = value.strip(" ") if isinstance(value, str) else ""
    number = value if isinstance(value, int) and not isinstance(value, bool) else None
    parts = _HOST_AND_PORT.fullmatch(text)
    if text.isascii() and text.isdigit():
        number = int(text)
    elif parts is not None:
        number = int(parts[2])
    if number is not None and not 0 <= number <= 65_535:
        raise ValueError("must have a port from 0 to 65535")
    if number is not None:
        host = "localhost" if parts is None else listen_host(parts[1])
        return on_this_machine(number) if host == "localhost" else (endpoint_of(host, number),)
    if text.lower().startswith(("http://", "https://")):
        raise ValueError(
            "must be host:port, without http:// before it and a path behind it; for https it is "
            "ssl:443:privateKey=key.pem:certKey=chain.pem"
        )
    if _BARE_IPV6.search(text):
        raise ValueError("must have an address of IPv6 as in [::1]:35791, or \\: for each colon of it")
    if not _ENDPOINT.fullmatch(text) or not text.isprintable():
        raise ValueError("must be a port, host:port, or a Twisted endpoint such as tcp:35791:interface=127.0.0.1")
    if text.removeprefix("haproxy:").startswith(("tcp:", "tcp6:", "ssl:")):
        address = address_in(text)
        if address is None or address.port > 65_535:
            raise ValueError("must have a port from 0 to 65535, as tcp:35791:interface=127.0.0.1 has")
    # Twisted would take the colon of a drive for the end of the path, and its backslashes away.
    return (_DRIVE.sub(lambda found: found[1] + "\\:" + found[2].replace("\\", "\\\\"), text),)


def distinct(values: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Names, each of which stands there once.

    :raise ValueError: one stands there twice.
    """
    if values is not None and len(set(values)) < len(values):
        raise ValueError("must not name anything twice")
    return values


def currency(value: str) -> str:
    """A code of ISO 4217; only its form is checked here.

    :raise ValueError: it cannot be one.
    """
    if not _CURRENCY.fullmatch(value):
        raise ValueError("must be three capital letters, such as USD")
    return value


def auth_header(value: str) -> str:
    """A template ``Name: value`` whose value holds :data:`KEY_PLACE`.

    :raise ValueError: it is not.
    """
    field_name, colon, field_value = value.partition(":")
    if not colon or not _TOKEN.fullmatch(field_name) or not _FIELD_VALUE.fullmatch(field_value):
        raise ValueError("must be `Name: value` on one line, in ASCII")
    if field_name.lower() in _OWN_HEADERS:
        raise ValueError("must not be a header that belongs to the connection itself")
    if set(_PLACEHOLDER.findall(field_value)) != {KEY_PLACE}:
        raise ValueError(f"must contain {KEY_PLACE} and no other variable; api_key_env names where the key is")
    return f"{field_name}: {field_value.strip()}"


def header_name(value: str) -> str:
    """The name of a header that the configuration may add.

    :raise ValueError: it is no header's name, or one that is not the configuration's to set.
    """
    if not _TOKEN.fullmatch(value):
        raise ValueError("must be the name of a header (RFC 9110, section 5.1)")
    if value.lower() in _OWN_HEADERS:
        raise ValueError("must not be set: it belongs to the connection")
    if value.lower() == "authorization":
        raise ValueError("must not be set here: api_key_env and auth_header make it")
    return value


def header_value(value: str) -> str:
    """The value of a header.

    :raise ValueError: it has line breaks or other characters that a header cannot hold.
    """
    if not _FIELD_VALUE.fullmatch(value):
        raise ValueError("must be ASCII on one line")
    return value.strip()


def json_value(value: Any) -> Any:
    """A value that JSON can hold.

    :raise ValueError: it is, or contains, something else that YAML knows: dates, binary data, infinities.
    """
    if isinstance(value, dict):
        for each in value.values():
            json_value(each)
    elif isinstance(value, list):
        for each in value:
            json_value(each)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("must not contain infinite numbers: JSON has none")
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise ValueError("must not contain whole numbers beyond 64 bits")
    elif value is not None and not isinstance(value, str):
        raise ValueError("must contain only what JSON knows; quote dates and the like")
    return value
