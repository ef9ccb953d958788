"""Certificates of ``ssl:`` endpoints that are read again when their files change."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from OpenSSL.crypto import Error as CryptoError
from OpenSSL.SSL import Connection
from OpenSSL.SSL import Error as TlsError
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from zope.interface import directlyProvides, implementer, providedBy

from skyproxy.config.listen_address import files_in, with_files
from skyproxy.config.plain_files import bytes_of

_log = Logger()

LOOK_SECONDS = 1.0
"""Between two looks at the files. There is one when a client connects."""

# RFC 7468, sections 5, 10 and 11; RFC 1421, section 4.6.1.1, for the last.
_CERTIFICATE, _KEY = b"-----BEGIN CERTIFICATE-----", b"PRIVATE KEY-----"
_ENCRYPTED = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED")


class _ContextTaken(Exception):
    """Ends what would listen."""


class _Taker:
    """In the place of a reactor: takes what an endpoint would listen with."""

    def __init__(self, reactor: Any) -> None:
        directlyProvides(self, providedBy(reactor))
        self.context: Any = None

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = "") -> None:
        """As of IReactorSSL, but nothing is bound."""
        self.context = contextFactory
        raise _ContextTaken


def context_of(reactor: Any, endpoint: str) -> Any:
    """The context factory that Twisted makes of the files of *endpoint*.

    :raise OSError: a file cannot be read.
    :raise ValueError: the files hold no key or no certificate that can be used.
    """
    files = files_of(endpoint)
    _check(files)
    taker = _Taker(reactor)
    try:
        done = serverFromString(taker, endpoint).listen(None)
        done.addErrback(lambda failure: failure.trap(_ContextTaken))
        if taker.context is None:
            raise ValueError(f"{endpoint} has no TLS")
        # What is wrong with a key is found when the first client comes, otherwise.
        taker.context.getContext()
    except (CryptoError, TlsError) as error:
        reasons = [each[-1] for each in error.args[0]] if error.args else []
        raise ValueError(f"OpenSSL cannot use {_named(files)}: {', '.join(reasons) or 'unknown'}") from error
    return taker.context


def _check(files: Sequence[Path]) -> None:
    """Refuse what OpenSSL would ask for a passphrase, at a terminal, while no client is served; and tell plainly what
    is missing.
    """
    # An error then says where it was looked for.
    content = b"\n".join(bytes_of(file.absolute()) for file in files)
    if any(sign in content for sign in _ENCRYPTED):
        raise ValueError(
            f"the private key in {_named(files)} is encrypted, and skyproxy asks nobody for a passphrase: have it in a "
            "file without one, as by: openssl pkey -in encrypted.pem -out key.pem"
        )
    for sign, what in ((_KEY, "private key (privateKey=)"), (_CERTIFICATE, "certificate (certKey=)")):
        if sign not in content:
            raise ValueError(f"there is no {what} in PEM in {_named(files)}")


def _named(files: Sequence[Path]) -> str:
    return " and ".join(str(file) for file in files)


def files_of(endpoint: str) -> list[Path]:
    """The files that *endpoint*, one of ``ssl:``, names. Without a ``certKey`` that of the key holds both."""
    return [Path(file) for file in files_in(endpoint).values()] or [Path("server.pem")]


def kept_of(endpoint: str) -> dict[str, bytes]:
    """What the files of *endpoint* hold, by their names, for processes that may not be able to read them, since root's
    rights may be given up. Empty where there is no TLS, and for any other user.
    """
    if not endpoint.removeprefix("haproxy:").startswith("ssl:") or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return {}
    return {file: Path(file).read_bytes() for file in files_in(endpoint).values()}


@contextmanager
def readable(endpoint: str, kept: Mapping[str, bytes]) -> Iterator[str]:
    """*endpoint*, whose files can be read: in place of one that this process may not read stands what is *kept* of it,
    in memory.
    """
    if not hasattr(os, "memfd_create"):  # pragma: no cover (Linux has it)
        yield endpoint
        return
    with ExitStack() as opened:

        def instead(file: str) -> str:
            content = None if os.access(file, os.R_OK) else kept.get(file)
            if content is None:
                return file
            in_memory = opened.enter_context(os.fdopen(os.memfd_create("tls"), "wb", buffering=0))
            in_memory.write(content)
            return f"/proc/self/fd/{in_memory.fileno()}"

        yield with_files(endpoint, instead)


@implementer(IOpenSSLServerConnectionCreator)
class ReloadedCertificate:
    """Serves with a certificate as it is in its files now. One that cannot be used changes nothing, and is told once.

    :param endpoint: in Twisted's words, one of ``ssl:``.
    :param kept: what files hold that this process may not be able to read, for the beginning.
    :raise OSError: a file cannot be read.
    :raise ValueError: the files cannot be used.
    """

    def __init__(self, reactor: Any, endpoint: str, kept: Mapping[str, bytes] = MappingProxyType({})) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._files = files_of(endpoint)
        self._looked_at: float = reactor.seconds()
        self._seen = _states(self._files)
        with readable(endpoint, kept) as words:
            self._context = context_of(reactor, words)

    def serverConnectionForTLS(self, protocol: Any) -> Connection:
        """A connection of OpenSSL's for *protocol*, a TLSMemoryBIOProtocol."""
        now = self._reactor.seconds()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._look()
        return Connection(self._context.getContext(), None)

    def _look(self) -> None:
        seen = _states(self._files)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._context = context_of(self._reactor, self._endpoint)
        except Exception as error:
            _log.warn(
                "The certificate in its changed files cannot be used: the old one serves on",
                files=[str(file) for file in self._files],
                error=f"{type(error).__name__}: {error}",
            )
        else:
            _log.info("Another certificate serves", files=[str(file) for file in self._files])


def _states(files: Sequence[Path]) -> list[tuple[int, int, int] | None]:
    states: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            state = os.stat(file)
        except OSError:
            states.append(None)
        else:
            states.append((state.st_mtime_ns, state.st_size, state.st_ino))
    return states


class WithReloadedCertificate:
    """A reactor that listens with :class:`ReloadedCertificate`, whose errors it raises when it is made.

    :param endpoint: which is listened at through it.
    :param kept: see there.
    """

    def __init__(self, reactor: Any, endpoint: str, kept: Mapping[str, bytes] = MappingProxyType({})) -> None:
        directlyProvides(self, providedBy(reactor))
        self._reactor = reactor
        # Before Twisted reads the files in its own way.
        self._certificate = ReloadedCertificate(reactor, endpoint, kept)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = "") -> Any:
        """As of IReactorSSL."""
        return self._reactor.listenSSL(port, factory, self._certificate, backlog=backlog, interface=interface)
