"""Proxies on the way to providers: what the configuration, the environment and Windows' settings say of them."""

from __future__ import annotations

import base64
import re
import urllib.request
from collections.abc import Mapping
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from skyproxy.config.fields import Checked
from skyproxy.config.hosts import is_loopback, is_private
from skyproxy.config.rules import listen_host

OFF = "off"

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_VARIABLES = {"http": ("http_proxy", "all_proxy"), "https": ("https_proxy", "all_proxy")}
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SETTINGS = r"Software\Microsoft\Windows\CurrentVersion\Internet Settings"
_LOCAL = "<local>"


class Via(Checked):
    """A proxy that makes the connections to a provider.

    :ivar authorization: the value of Proxy-Authorization.
    :ivar source: what names it, for people.
    """

    host: str
    port: int
    authorization: SecretStr | None = None
    source: str = "proxy_url"

    @property
    def shown(self) -> str:
        """Where it is, for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def via(url: str, source: str = "proxy_url") -> Via:
    """The proxy at *url*: ``http://host:port``, with a user and a password before the host if it wants them.

    :raise ValueError: it is no such URL.
    """
    message = "must be off, or the URL of a proxy such as http://proxy.example:3128"
    if not _VISIBLE_ASCII.fullmatch(url):
        raise ValueError(message)
    try:
        parts = urlsplit(url)
        port = parts.port
        host = listen_host(parts.hostname or "")
    except ValueError:
        raise ValueError(message) from None
    if parts.scheme != "http" or port == 0 or parts.path not in ("", "/") or "?" in url or "#" in url:
        raise ValueError(message)
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = SecretStr("Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii"))
    return Via(host=host, port=port or 80, authorization=authorization, source=source)


def checked_proxy_url(value: str | None) -> str | None:
    """What ``proxy_url`` may be.

    :raise ValueError: it is not.
    """
    if value not in (None, OFF):
        via(value)
    return value


def own_proxy(name: str, url: str, base_url: str) -> tuple[Via | None, str | None]:
    """The proxy to provider *name* that its own ``proxy_url`` says, and a warning if it is of no effect."""
    if url == OFF:
        return None, None
    host = urlsplit(base_url).hostname
    if host is None or is_loopback(host):
        return None, f"proxy_url of provider {name!r} has no effect: there is no proxy to this machine."
    return via(url), None


class SystemProxies:
    """Those that the environment names, in small letters or capitals, or else Windows' settings.

    :param environ: of the process.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._urls: dict[str, tuple[str, str]] = {}
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            for variable in (name, name.upper()):
                if environ.get(variable) and name not in self._urls:
                    self._urls[name] = variable, environ[variable].strip()
        self._bypass = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
        if not self._urls:
            found, override = windows_settings()
            source = "Windows' settings"
            self._urls = {f"{scheme}_proxy": (source, url) for scheme, url in found.items() if scheme in _VARIABLES}
            self._bypass = f"{self._bypass},{override}"

    def of(self, base_url: str) -> tuple[Via | None, str | None]:
        """The proxy to the provider at *base_url*, and a warning if there is one that cannot be used.

        There is none to this machine, and none to private addresses and names that public DNS does not have.
        """
        parts = urlsplit(base_url)
        host = parts.hostname
        if host is None or is_loopback(host) or is_private(host):
            return None, None
        named = [self._urls[name] for name in _VARIABLES.get(parts.scheme, ()) if name in self._urls]
        if not named or is_bypassed(host, parts.port or _DEFAULT_PORTS[parts.scheme], self._bypass):
            return None, None
        source, url = named[0]
        try:
            return via(url if "://" in url else f"http://{url}", source), None
        except ValueError:
            return None, (
                f"The proxy of {source} is not used, for its URL is not like http://proxy.example:3128 (skyproxy "
                "speaks neither SOCKS nor TLS with a proxy): providers are asked directly."
            )


def is_bypassed(host: str, port: int, rules: str) -> bool:
    """Whether *rules*, NO_PROXY or what Windows has for it, say that *host* is reached directly.

    :param rules: parted by commas, semicolons or spaces: domains, with those below them; addresses and networks;
        patterns with ``*``; each perhaps with a port.
    """
    name = host.lower().rstrip(".")
    for rule in re.split(r"[,;\s]+", rules.lower()):
        if rule == _LOCAL:
            if "." not in name and ":" not in name:
                return True
        elif rule and _matches(name, port, rule):
            return True
    return False


def _matches(name: str, port: int, rule: str) -> bool:
    if _is_in(name, rule):
        return True
    bare, colon, digits = rule.rpartition(":")
    if colon and digits.isdigit() and (":" not in bare or bare.startswith("[")):
        if int(digits) != port:
            return False
        rule = bare
    rule = rule.removeprefix("[").removesuffix("]")
    if "*" in rule:
        return fnmatchcase(name, rule)
    domain = rule.strip(".")
    return bool(domain) and (name == domain or name.endswith(f".{domain}") or _is_in(name, rule))


def _is_in(name: str, network: str) -> bool:
    try:
        return ip_address(name) in ip_network(network, strict=False)
    except ValueError:
        return False


def windows_settings() -> tuple[Mapping[str, str], str]:
    """The proxies of the registry by scheme, and what is not to go through them; nothing on other systems."""
    # getproxies() would give the environment's where there is any, such as NO_PROXY alone.
    registry: Any = getattr(urllib.request, "getproxies_registry", None)
    urls = {} if registry is None else registry()
    return urls, _override() if urls else ""


def _override() -> str:
    import winreg

    registry: Any = winreg
    try:
        with registry.OpenKey(registry.HKEY_CURRENT_USER, _SETTINGS) as key:
            return str(registry.QueryValueEx(key, "ProxyOverride")[0])
    except OSError:
        return ""
