"""What skyproxy uses of other libraries that is not theirs to promise: each private name, where, and what it must be.

A test that fails here after an upgrade says which module of skyproxy to look at, before anything else fails.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.stream import H2Stream
from klein import Klein
from OpenSSL import SSL
from twisted.internet import _sslverify
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import succeed
from twisted.internet.ssl import CertificateOptions, optionsForClientTLS
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.components import Componentized
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.server import Request
from zope.interface import implementedBy, implementer

from skyproxy.http.common.headers import OutgoingHeaders
from skyproxy.http.common.lazy_headers import LazyHeaders
from skyproxy.web.request import ApiRequest

ROOT = Path(__file__).parents[2]

MOST_OF_TWISTED = 15
"""Private names of Twisted that skyproxy may use."""


@dataclass(frozen=True)
class Part:
    """Private names that belong together.

    :ivar library: whose they are, as setup.cfg names it.
    :ivar user: the one module of skyproxy that uses them.
    :ivar check: fails unless they exist, and are what *user* takes them for.
    """

    library: str
    names: frozenset[str]
    user: str
    check: Callable[[], None]

    @property
    def advice(self) -> str:
        """What to do when it fails."""
        return f"If this fails, look at {self.user.replace('.', '/')}.py: {self.check.__doc__}"


def tls_names() -> None:
    """it puts a host's name that is none of IDNA into Twisted's options for a client's TLS."""
    options: Any = optionsForClientTLS("host.example")
    assert options._hostnameASCII == "host.example", options._hostnameASCII
    assert options._hostnameBytes == b"host.example", options._hostnameBytes
    source = inspect.getsource(type(options))
    assert "self._hostnameBytes" in source and "self._hostnameASCII" in source, "they are not read"


def trust_roots() -> None:
    """its authorities are a trust root of Twisted's, which Twisted has add them to a context."""
    called: list[Any] = []

    @implementer(_sslverify.IOpenSSLTrustRoot)
    class TrustRoot:
        def _addCACertsToContext(self, context: Any) -> None:
            called.append(context)

    CertificateOptions(trustRoot=TrustRoot()).getContext()
    assert [type(each) for each in called] == [SSL.Context], called
    assert set(_sslverify.IOpenSSLTrustRoot.names()) == {"_addCACertsToContext"}, "it has other methods"


def pool() -> None:
    """it has HTTPConnectionPool make each connection with a factory of its own, and is told of those that are free."""
    put: list[Any] = []

    class Pool(HTTPConnectionPool):
        def _putConnection(self, key: Any, connection: Any) -> None:
            put.append((key, connection))

    made: Any = Pool(Clock())  # type: ignore[no-untyped-call]
    made._factory = lambda quiescent, about: (quiescent, about)
    endpoint: Any = SimpleNamespace(connect=succeed)
    found: list[Any] = []
    made._newConnection("key", endpoint).addCallback(found.append)
    quiescent, about = found[0]
    assert about == repr(endpoint), about
    quiescent("connection")
    assert put == [("key", "connection")], put


def unsent_bytes() -> None:
    """it puts what is written into the buffer that a connection keeps until the reactor has time to send it."""
    descriptor: Any = FileDescriptor(MemoryReactorClock())  # type: ignore[arg-type]
    descriptor.connected = True
    assert (descriptor._tempDataBuffer, descriptor._tempDataLen, descriptor.dataBuffer) == ([], 0, b"")
    descriptor.write(b"abc")
    descriptor.write(b"de")
    assert (descriptor._tempDataBuffer, descriptor._tempDataLen) == ([b"abc", b"de"], 5)
    sent: list[bytes] = []
    descriptor.writeSomeData = lambda data: sent.append(bytes(data)) or len(data)
    descriptor.doWrite()
    assert (sent, descriptor._tempDataBuffer, descriptor._tempDataLen) == ([b"abcde"], [], 0)


def adapters() -> None:
    """its requests make, when asked for, the dict in which Componentized keeps adapters."""
    assert Componentized()._adapterCache == {}  # type: ignore[no-untyped-call]


def streams_of_h2() -> None:
    """it has h2 not count the bytes of a body, so that a wrong length costs one stream and not all."""
    assert list(inspect.signature(H2Connection._begin_new_stream).parameters) == ["self", "stream_id", "allowed_ids"]
    assert list(inspect.signature(H2Stream._initialize_content_length).parameters) == ["self", "headers"]
    stream = H2Stream(1, H2Configuration(), 100, 100)
    stream._initialize_content_length([(b"content-length", b"5")])
    assert stream._expected_content_length == 5


def default_roots() -> None:
    """it looks for authorities where OpenSSL's usual builds have them."""
    for paths in (SSL._CERTIFICATE_FILE_LOCATIONS, SSL._CERTIFICATE_PATH_LOCATIONS):
        assert paths and all(isinstance(path, str) for path in paths), paths


def error_handlers() -> None:
    """it has an error answered by the handler that Klein would take."""
    app: Any = Klein()

    @app.handle_errors(KeyError, ValueError)  # type: ignore[untyped-decorator, unused-ignore]
    def handle(self: Any, request: Any, failure: Any) -> None:
        """Do nothing."""

    assert [(list(exceptions), handler) for exceptions, handler in app._error_handlers] == [
        ([KeyError, ValueError], handle)
    ], app._error_handlers


PARTS = [
    Part("Twisted", frozenset({"_hostnameASCII", "_hostnameBytes"}), "skyproxy.http.client.tls", tls_names),
    Part(
        "Twisted",
        frozenset({"twisted.internet._sslverify.IOpenSSLTrustRoot", "_addCACertsToContext"}),
        "skyproxy.http.client.trust",
        trust_roots,
    ),
    Part("Twisted", frozenset({"_factory", "_newConnection", "_putConnection"}), "skyproxy.http.client.pool", pool),
    Part("Twisted", frozenset({"_tempDataBuffer", "_tempDataLen"}), "skyproxy.http.loop.direct_io", unsent_bytes),
    Part("Twisted", frozenset({"_adapterCache"}), "skyproxy.web.request", adapters),
    Part(
        "h2",
        frozenset({"_begin_new_stream", "_initialize_content_length"}),
        "skyproxy.http.h2.unchecked",
        streams_of_h2,
    ),
    Part(
        "pyOpenSSL",
        frozenset({"_CERTIFICATE_FILE_LOCATIONS", "_CERTIFICATE_PATH_LOCATIONS"}),
        "skyproxy.http.client.trust",
        default_roots,
    ),
    Part("klein", frozenset({"_error_handlers"}), "skyproxy.web.routes", error_handlers),
]

SKIPPED_CONSTRUCTORS = {
    "skyproxy.http.common.headers.OutgoingHeaders",
    "skyproxy.http.common.lazy_headers.LazyHeaders",
    "skyproxy.http.common.lazy_headers.ReceivedHeaders",
    "skyproxy.http.h1.response_reader.ResponseHead",
    "skyproxy.web.request.ApiRequest",
}
"""Classes that do not call the constructors of those of other libraries that they are made from: on every request's
path, where these would make what hardly any request needs. What stands in their place is checked below.
"""


# How uses are found.

_OF_NAMED_TUPLES = frozenset({"_asdict", "_field_defaults", "_fields", "_make", "_replace"})
"""Python promises these; they begin so in order to collide with no field."""

_BY_NAME = frozenset({"getattr", "setattr", "hasattr", "delattr"})


def is_private(name: str) -> bool:
    """Whether a library does not promise *name*."""
    return name.startswith("_") and name != "_" and not name.endswith("__") and name not in _OF_NAMED_TUPLES


@lru_cache(maxsize=1)
def nodes(tree: ast.AST) -> tuple[ast.AST, ...]:
    """All of a module, which several rules go through one after the other."""
    return tuple(ast.walk(tree))


def private_imports(tree: ast.AST) -> Iterator[str]:
    """Imports of private modules, or from them, or of private names, as dotted names."""
    for node in nodes(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module != "__future__":
            names = [f"{node.module}.{each.name}" for each in node.names]
        for name in names:
            if not name.startswith("skyproxy.") and any(map(is_private, name.split("."))):
                yield name


def defined_names(tree: ast.AST) -> set[str]:
    """Names that a module gives to something of its own."""
    names: set[str] = set()
    for node in nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _of_itself(node):
            names.add(node.attr)
    return names


def private_attributes(tree: ast.AST) -> Iterator[str]:
    """Private attributes of other objects than those of the module's own classes, as far as can be told."""
    own = defined_names(tree)
    for node in nodes(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and not _of_itself(node):
            if node.attr not in own:
                yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _BY_NAME:
            for name in node.args[1:2]:
                if isinstance(name, ast.Constant) and isinstance(name.value, str) and is_private(name.value):
                    yield name.value


def _of_itself(node: ast.Attribute) -> bool:
    """Whether an attribute is one of self, cls or super()."""
    value = node.value
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "super"
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def inherited_names(cls: type, node: ast.ClassDef) -> Iterator[str]:
    """Private names in the body of *cls* that classes of other libraries, from which it is made, have too."""
    theirs: set[str] = set()
    for base in foreign_bases(cls):
        theirs.update(vars(base))
        theirs.update(_names_of_instances(base))
    for interface in implementedBy(cls):
        if not interface.__module__.startswith("skyproxy"):
            theirs.update(interface.names(all=True))
    used = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute) and _of_itself(each)}
    used |= {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
    for each in node.body:
        targets = (
            each.targets if isinstance(each, ast.Assign) else [each.target] if isinstance(each, ast.AnnAssign) else []
        )
        used |= {target.id for target in targets if isinstance(target, ast.Name)}
    yield from (name for name in used & theirs if is_private(name))


def foreign_bases(cls: type) -> list[type]:
    """Classes of other libraries from which *cls* is made, but for those of Python itself."""
    ours = ("skyproxy", "builtins", "typing", "abc", "enum", "collections")
    return [base for base in cls.__mro__ if base.__module__.partition(".")[0] not in ours]


@cache
def _names_of_instances(base: type) -> set[str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
    except (OSError, TypeError):
        return set()
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _of_itself(node)}


def classes_in(module: Any, tree: ast.AST) -> Iterator[tuple[type, ast.ClassDef]]:
    """The classes at the top of *module*, and where each stands in its *tree*."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield getattr(module, node.name), node


def skips_constructor(cls: type, node: ast.ClassDef) -> bool:
    """Whether *cls* has a constructor that leaves out those of other libraries' classes."""
    constructors = [vars(base)["__init__"] for base in foreign_bases(cls) if "__init__" in vars(base)]
    # Python gives a constructor that does nothing to each typing.Protocol.
    if "__init__" not in vars(cls) or all(each.__module__ == "typing" for each in constructors):
        return False
    return not any(
        isinstance(each, ast.Attribute) and each.attr == "__init__" and _of_itself(each) for each in ast.walk(node)
    )


@cache
def modules() -> dict[str, ast.AST]:
    """The syntax trees of skyproxy."""
    found = {}
    for path in sorted((ROOT / "skyproxy").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text("utf-8"))
    return found


def uses(name: str, tree: ast.AST) -> set[tuple[str, str]]:
    """The private names that the module *name* uses of other libraries."""
    found = {*private_imports(tree), *private_attributes(tree)}
    if not name.endswith("__main__"):
        for cls, node in classes_in(importlib.import_module(name), tree):
            found.update(inherited_names(cls, node))
    return {(name, each) for each in found}


class ForeignPartsTests(SynchronousTestCase):
    """What is listed is there, and nothing else is used."""

    def test_each_is_what_it_is_taken_for(self) -> None:
        for part in PARTS:
            try:
                part.check()
            except Exception as error:
                self.fail(f"{part.advice}\n{type(error).__name__}: {error}")

    def test_no_other_private_name_is_used(self) -> None:
        found: set[tuple[str, str]] = set()
        for name, tree in modules().items():
            found |= uses(name, tree)
        listed = {(part.user, name) for part in PARTS for name in part.names}
        self.assertEqual(sorted(found - listed), [], "they are used, and not listed")
        self.assertEqual(sorted(listed - found), [], "they are listed, and not used")

    def test_how_many_there_are(self) -> None:
        names = [name for part in PARTS for name in part.names]
        self.assertEqual(len(names), len(set(names)), "each is used in one place")
        self.assertLessEqual(sum(len(part.names) for part in PARTS if part.library == "Twisted"), MOST_OF_TWISTED)
        self.assertFalse([name for name in names if "_http2" in name])

    def test_libraries_have_upper_bounds(self) -> None:
        parser = ConfigParser()
        parser.read(ROOT / "setup.cfg")
        required = parser["options"]["install_requires"].split()
        for library in {part.library for part in PARTS}:
            bounds = [each for each in required if each.lower().startswith(library.lower()) and ",<" in each]
            self.assertEqual(len(bounds), 1, library)

    def test_advice(self) -> None:
        self.assertEqual(
            PARTS[0].advice,
            "If this fails, look at skyproxy/http/client/tls.py: it puts a host's name that is none of IDNA into "
            "Twisted's options for a client's TLS.",
        )


class ConstructorTests(SynchronousTestCase):
    """What stands in the place of constructors that are not called."""

    def test_which_are_not_called(self) -> None:
        found = {
            f"{name}.{cls.__name__}"
            for name, tree in modules().items()
            if not name.endswith("__main__")
            for cls, node in classes_in(importlib.import_module(name), tree)
            if skips_constructor(cls, node)
        }
        self.assertEqual(found, SKIPPED_CONSTRUCTORS)

    def test_headers_have_all_that_is_public(self) -> None:
        public = {name for name, value in vars(Headers).items() if callable(value) and not name.startswith("_")}
        self.assertGreaterEqual(len(public), 7)
        for kind in (LazyHeaders, OutgoingHeaders):
            self.assertEqual(public - set(vars(kind)), set(), kind)

    def test_requests_have_all_that_twisted_makes(self) -> None:
        site = SimpleNamespace(_parsePOSTFormSubmission=False, max_body=0)
        channel: Any = SimpleNamespace(site=site, transport=object(), getPeer=object, getHost=object)
        theirs = vars(Request(channel))  # type: ignore[no-untyped-call]
        ours = ApiRequest(channel)
        # It says whether forms are read, by a method that ApiRequest has its own of.
        self.assertIn("requestReceived", vars(ApiRequest))
        for name in set(theirs) - {"_parsePOSTFormSubmission"}:
            self.assertTrue(hasattr(ours, name), f"ApiRequest has no {name}, which Twisted's requests have")
            if isinstance(theirs[name], dict | Headers):
                self.assertIs(type(getattr(ours, name)), type(theirs[name]), name)


class RuleTests(SynchronousTestCase):
    """Each way to use a private name is seen."""

    def found(self, source: str, rule: Callable[[ast.AST], Iterable[str]]) -> list[str]:
        return list(rule(ast.parse(textwrap.dedent(source))))

    def test_imports(self) -> None:
        source = """
            from __future__ import annotations
            import twisted.web._http2, twisted.web.http
            from twisted.web import _http2 as x, http
            from twisted.web._newclient import Request
            from skyproxy.http import _private
            from . import _own
        """
        self.assertEqual(
            self.found(source, private_imports),
            ["twisted.web._http2", "twisted.web._http2", "twisted.web._newclient.Request"],
        )

    def test_attributes(self) -> None:
        source = """
            class Own:
                _shared = 1
                def method(self, other):
                    self._mine = other._theirs
                    other._mine = other._shared + other.__class__ + other.public
                    return super()._inherited + getattr(other, "_named", None)
        """
        self.assertEqual(sorted(self.found(source, private_attributes)), ["_named", "_theirs"])

    def test_inherited(self) -> None:
        class Pool(HTTPConnectionPool):
            pass

        source = (
            "class Pool:\n def _putConnection(self): pass\n _factory = 1\n def own(self): self._connections, self._x"
        )
        (node,) = ast.parse(source).body
        assert isinstance(node, ast.ClassDef)
        self.assertEqual(set(inherited_names(Pool, node)), {"_putConnection", "_factory", "_connections"})

    def test_constructors(self) -> None:
        class Pool(HTTPConnectionPool):
            def __init__(self) -> None:
                """Leave it out."""

        for body, skips in (("pass", True), ("super().__init__()", False)):
            (node,) = ast.parse(f"class Pool:\n def __init__(self): {body}").body
            assert isinstance(node, ast.ClassDef)
            self.assertEqual(skips_constructor(Pool, node), skips)
