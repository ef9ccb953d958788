"""Which package may lean on which, read from the syntax trees of skyproxy/."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from configparser import ConfigParser
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[2]

# From the bottom up: each layer of packages may import what stands before it, and beside it.
LAYERS = (
    {"errors", "clock", "util"},
    {"config"},
    {"formats", "http"},
    {"telemetry", "log"},
    {"access", "upstream", "cache", "shares"},
    {"pipeline"},
    {"web"},
    {"process"},
    {"tap", "command", "__main__"},
)
PURE = {"errors", "clock", "util", "config", "formats", "shares"}
APART = "demo"  # a server of its own, which the process starts
OF_ONE_PACKAGE = {
    "klein": "web", "werkzeug": "web", "treq": "upstream", "httptools": "http", "h2": "http", "hpack": "http",
    "hyperframe": "http", "priority": "http", "prometheus_client": "web", "markdown_it": "web",
    "opentelemetry": "telemetry", "joserfc": "access", "txredisapi": "process",
}  # fmt: skip

TOP_LEVEL = {
    ".ci", ".gitattributes", ".gitignore", "CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml", "setup.cfg",
    "skyproxy", "tests", "twisted",
}  # fmt: skip


MAX_ATTRIBUTES = 15  # that a class gives its instances
LARGE_CLASSES = {"skyproxy.formats.openai.stream_inspector.StreamInspector"}
"""Classes that have more, and are to shrink."""


@dataclass(frozen=True)
class Import:
    """One import.

    :ivar importer: the module that has it.
    :ivar name: what is imported, dotted; of ``from a import b`` it is ``a.b``.
    :ivar at_once: it happens when the module is imported, not when something is called.
    """

    importer: str
    name: str
    at_once: bool = True

    @property
    def package(self) -> str:
        """Of the importer; empty for skyproxy's own ``__init__``."""
        return package_of(self.importer)

    @property
    def target(self) -> str | None:
        """The package that is imported; None if it is none of skyproxy's."""
        return package_of(self.name) if self.name.partition(".")[0] == "skyproxy" else None


def package_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports_of(module: str, source: str, package: bool = False) -> Iterator[Import]:
    """All imports in *source*, wherever they stand."""
    base = module.split(".") if package else module.split(".")[:-1]

    def walk(node: ast.AST, at_once: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for each in node.names:
                yield Import(module, each.name, at_once)
        elif isinstance(node, ast.ImportFrom):
            above = base[: len(base) - node.level + 1] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            for each in node.names:
                yield Import(module, f"{start}.{each.name}", at_once)
        inside = at_once and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside)

    yield from walk(ast.parse(source), True)


@cache
def imports_in_tree() -> Sequence[Import]:
    """Those of skyproxy."""
    found: list[Import] = []
    for path in sorted((ROOT / "skyproxy").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if package else parts)
        found += imports_of(module, path.read_text("utf-8"), package)
    return found


# The rules. Each gives its complaints.


NAMES = {"OpenSSL": "pyopenssl", "dotenv": "python-dotenv", "yaml": "pyyaml", "markdown_it": "markdown-it-py",
         "opentelemetry": "opentelemetry-proto"}  # fmt: skip
"""What is imported under another name than that of its distribution."""


EXTRAS = {
    "skyproxy.telemetry.tracing.otlp": "otel", "skyproxy.access.tokens.verifier": "jwt",
    "skyproxy.process.sharing.link": "redis",
}  # fmt: skip
"""Modules that import what comes with an extra, and are imported where that is there alone."""


def _distributions(requirements: str) -> set[str]:
    return {re.split(r"[^\w.-]", each)[0].lower().replace("_", "-") for each in requirements.split()}


def undeclared(imports: Iterable[Import], setup: str) -> list[str]:
    """Imports of what is neither Python's own nor among the requirements in *setup*, the text of setup.cfg."""
    parser = ConfigParser()
    parser.read_string(setup)
    requirements = parser["options"]["install_requires"]
    declared = _distributions(requirements)
    refusals = []
    for each in imports:
        top = each.name.partition(".")[0]
        own = top == "skyproxy" or top in sys.stdlib_module_names
        name = "zope.interface" if each.name.startswith("zope.interface") else NAMES.get(top, top)
        extra = EXTRAS.get(each.importer)
        if extra is not None and name in _distributions(parser["options.extras_require"][extra]):
            continue
        if not own and name.lower().replace("_", "-") not in declared:
            refusals.append(f"{each.importer} imports {each.name}, which setup.cfg does not require")
    return refusals


def upwards(imports: Iterable[Import]) -> list[str]:
    """Imports from a package above, or of a package that has no place."""
    ranks = {package: rank for rank, packages in enumerate(LAYERS) for package in packages}
    refusals = []
    for each in imports:
        if each.target in (None, APART) or each.package in ("", APART) or each.target == "__version__":
            continue
        for package in (each.package, each.target):
            if package not in ranks:
                refusals.append(f"{each.importer}: the package {package!r} has no place in the layers")
        if ranks.get(each.target or "", 0) > ranks.get(each.package, 99):
            refusals.append(f"{each.importer} imports {each.name} from above")
    return refusals


def circles(imports: Iterable[Import]) -> list[str]:
    """Packages that import one another, round some corners."""
    graph: dict[str, set[str]] = {}
    for each in imports:
        if each.target and each.package and each.target != each.package:
            graph.setdefault(each.package, set()).add(each.target)
    return sorted(package for package in graph if package in _reached(package, graph))


def _reached(start: str, graph: Mapping[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    todo = list(graph.get(start, ()))
    while todo:
        package = todo.pop()
        if package not in reached:
            reached.add(package)
            todo += graph.get(package, ())
    return reached


def impure(imports: Iterable[Import]) -> list[str]:
    """Pure packages that know of the event loop."""
    return [
        f"{each.importer} imports {each.name}"
        for each in imports
        if each.package in PURE and (each.name + ".").startswith("twisted.internet.")
    ]


def strangers(imports: Iterable[Import]) -> list[str]:
    """Libraries in a package that is not theirs."""
    refusals = []
    for each in imports:
        owner = OF_ONE_PACKAGE.get(each.name.partition(".")[0])
        if owner is not None and each.package not in (owner, APART):
            refusals.append(f"{each.importer} imports {each.name}, which is for {owner} alone")
    return refusals


def reactors(imports: Iterable[Import]) -> list[str]:
    """Modules that install a reactor by being imported."""
    return [each.importer for each in imports if each.at_once and each.name == "twisted.internet.reactor"]


def entangled_demo(imports: Iterable[Import]) -> list[str]:
    """The demo leans on nobody, and only the service and the command on it."""
    refusals = []
    for each in imports:
        if each.package == APART and each.target not in (None, APART):
            refusals.append(f"{each.importer} imports {each.name}")
        if each.target == APART and each.package not in ("process", "command", APART):
            refusals.append(f"{each.importer} imports {each.name}")
    return refusals


def packages_under(folder: Path) -> list[Path]:
    """What makes a package of a folder that others share (PEP 420)."""
    return sorted(folder.rglob("__init__.py"))


def intruders(tracked: Iterable[str]) -> set[str]:
    """Names at the top of the repository that have no business there."""
    return {path.partition("/")[0] for path in tracked} - TOP_LEVEL


def attributes_of(module: str, source: str) -> dict[str, int]:
    """How many attributes of ``self`` each class in *source* assigns when it is made, by its name."""
    found: dict[str, int] = {}
    for each in ast.walk(ast.parse(source)):
        if isinstance(each, ast.ClassDef):
            makers = [node for node in each.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
            found[f"{module}.{each.name}"] = len(
                {
                    node.attr
                    for maker in makers
                    for node in ast.walk(maker)
                    if isinstance(node, ast.Attribute)
                    and isinstance(node.ctx, ast.Store)
                    and isinstance(node.value, ast.Name)
                    and node.value.id == "self"
                }
            )
    return found


def attributes_in_tree() -> dict[str, int]:
    """Those of skyproxy."""
    found: dict[str, int] = {}
    for path in sorted((ROOT / "skyproxy").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found |= attributes_of(module, path.read_text("utf-8"))
    return found


class TreeTests(SynchronousTestCase):
    """The tree as it is."""

    def setUp(self) -> None:
        self.imports = imports_in_tree()

    def test_the_tree_was_read(self) -> None:
        packages = {each.package for each in self.imports}
        self.assertLessEqual({"config", "http", "upstream", "pipeline", "web", "process", "tap", "demo"}, packages)
        self.assertIn(Import("skyproxy.tap", "skyproxy.process.building.build", at_once=False), self.imports)

    def test_one_way(self) -> None:
        self.assertEqual(upwards(self.imports), [])
        self.assertEqual(circles(self.imports), [])

    def test_pure_packages(self) -> None:
        self.assertEqual(impure(self.imports), [])

    def test_libraries_stay_in_their_packages(self) -> None:
        self.assertEqual(strangers(self.imports), [])

    def test_no_reactor_at_import(self) -> None:
        self.assertEqual(reactors(self.imports), [])

    def test_the_demo_stands_apart(self) -> None:
        self.assertEqual(entangled_demo(self.imports), [])

    def test_what_is_imported_is_declared(self) -> None:
        self.assertEqual(undeclared(self.imports, (ROOT / "setup.cfg").read_text("utf-8")), [])

    def test_modules_are_short(self) -> None:
        for path in sorted((ROOT / "skyproxy").rglob("*.py")):
            self.assertLessEqual(len(path.read_text("utf-8").splitlines()), 300, path.relative_to(ROOT))

    def test_classes_stay_small(self) -> None:
        attributes = attributes_in_tree()
        large = {name for name, count in attributes.items() if count > MAX_ATTRIBUTES}
        self.assertGreater(len(attributes), 100)
        self.assertLessEqual(large, LARGE_CLASSES)

    def test_the_plugin_folder_is_no_package(self) -> None:
        self.assertTrue((ROOT / "twisted" / "plugins").is_dir())
        self.assertEqual(packages_under(ROOT / "twisted"), [])

    def test_the_top_level(self) -> None:
        if not (ROOT / ".git").exists() or not shutil.which("git"):
            raise SkipTest("this is no checkout of git, or there is no git")
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
        self.assertEqual(intruders(listed.stdout.splitlines()), set())


class RuleTests(SynchronousTestCase):
    """Each rule catches what breaks it, and lets pass what does not."""

    def sample(self, module: str, source: str) -> list[Import]:
        return list(imports_of(module, source))

    def test_undeclared(self) -> None:
        setup = "[options]\ninstall_requires =\n    Twisted[tls]>=26.10\n    pydantic-core\n    PyYAML>=6\n"
        source = (
            "import os, yaml, twisted.web, pydantic_core\nfrom h2 import config\nfrom zope.interface import implementer"
        )
        told = undeclared(self.sample("skyproxy.tap", source), setup)
        self.assertEqual([line.split()[2] for line in told], ["h2.config,", "zope.interface.implementer,"])

    def test_every_form_of_import_is_seen(self) -> None:
        source = (
            "import a.b\nfrom c import d as e, f\nfrom . import g\nfrom .h import i\nif x:\n    import j\n"
            "class K:\n    import l\ndef m():\n    import n\ntry:\n    import o\nfinally:\n    p()\n"
        )
        seen = {each.name: each.at_once for each in self.sample("skyproxy.http.client.pool", source)}
        at_once = ["a.b", "c.d", "c.f", "skyproxy.http.client.g", "skyproxy.http.client.h.i", "j", "l", "o"]
        self.assertEqual(seen, {**dict.fromkeys(at_once, True), "n": False})
        (each,) = imports_of("skyproxy.http", "from ..pipeline import x", package=True)
        self.assertEqual(each.name, "skyproxy.pipeline.x")

    def test_upwards(self) -> None:
        for module, source in (
            ("skyproxy.http.client.pool", "from skyproxy.pipeline.relay import Client"),
            ("skyproxy.http.client.pool", "from skyproxy import pipeline"),
            ("skyproxy.http.client.pool", "import skyproxy.pipeline.relay"),
            ("skyproxy.errors", "from skyproxy.config import Config"),
            ("skyproxy.upstream.build", "def f():\n    from skyproxy.web.app import Api"),
            ("skyproxy.upstream.build", "from ..process import x"),
            ("skyproxy.lounge", "from skyproxy.errors import x"),
            ("skyproxy.http.client.pool", "from skyproxy.lounge import x"),
        ):
            self.assertEqual(len(upwards(self.sample(module, source))), 1, source)
        for module, source in (
            ("skyproxy.pipeline.relay", "from skyproxy.http.common.headers import Fields\nfrom skyproxy import errors"),
            ("skyproxy.pipeline.transform", "from skyproxy.pipeline.router import Candidate"),
            ("skyproxy.process.service", "from skyproxy.demo import Demo"),
            ("skyproxy.http.client.pool", "from twisted.web.client import HTTPConnectionPool"),
        ):
            self.assertEqual(upwards(self.sample(module, source)), [], source)

    def test_circles(self) -> None:
        circle = [
            *self.sample("skyproxy.pipeline.router", "from skyproxy.cache.key import key_of"),
            *self.sample("skyproxy.cache.key", "from skyproxy.formats.dialects import DIALECTS"),
            *self.sample("skyproxy.formats.dialects", "def f():\n    from skyproxy.pipeline.router import Router"),
        ]
        self.assertEqual(circles(circle), ["cache", "formats", "pipeline"])
        self.assertEqual(circles(circle[:2]), [])

    def test_impure(self) -> None:
        for source in (
            "from twisted.internet.defer import Deferred", "from twisted.internet import defer",
            "import twisted.internet", "def f():\n    import twisted.internet.task",
        ):  # fmt: skip
            self.assertEqual(len(impure(self.sample("skyproxy.formats.sse", source))), 1, source)
            self.assertEqual(len(impure(self.sample("skyproxy.config.files", source))), 1, source)
            self.assertEqual(impure(self.sample("skyproxy.log.logging", source)), [])
        self.assertEqual(impure(self.sample("skyproxy.formats.sse", "from twisted.python import log")), [])

    def test_strangers(self) -> None:
        for module, source in (
            ("skyproxy.pipeline.proxy", "import klein"),
            ("skyproxy.process.service", "from klein import Klein"),
            ("skyproxy.web.app", "import treq"),
            ("skyproxy.http.client.agent", "from treq.client import HTTPClient"),
            ("skyproxy.upstream.build", "import httptools"),
            ("skyproxy.web.client", "from h2.events import StreamEnded"),
        ):
            self.assertEqual(len(strangers(self.sample(module, source))), 1, source)
        for module, source in (
            ("skyproxy.web.app", "from klein import Klein"),
            ("skyproxy.upstream.exchange.treq_client", "from treq.client import HTTPClient"),
            ("skyproxy.http.h1.response_reader", "import httptools"),
            ("skyproxy.web.app", "from h2o import water"),
        ):
            self.assertEqual(strangers(self.sample(module, source)), [], source)

    def test_reactors(self) -> None:
        for source in (
            "from twisted.internet import reactor",
            "import twisted.internet.reactor",
            "class A:\n    from twisted.internet import reactor",
        ):
            self.assertEqual(reactors(self.sample("skyproxy.tap", source)), ["skyproxy.tap"])
        self.assertEqual(
            reactors(self.sample("skyproxy.tap", "def f():\n    from twisted.internet import reactor")), []
        )

    def test_entangled_demo(self) -> None:
        for module, source in (
            ("skyproxy.demo.api", "from skyproxy.errors import SkyproxyError"),
            ("skyproxy.demo.api", "from skyproxy import formats"),
            ("skyproxy.tap", "from skyproxy.demo import Demo"),
            ("skyproxy.config.loading", "import skyproxy.demo"),
        ):
            self.assertEqual(len(entangled_demo(self.sample(module, source))), 1, source)
        for module, source in (
            ("skyproxy.process.service", "from skyproxy.demo import Demo"),
            ("skyproxy.demo.api", "from skyproxy.demo.words import x\nimport json"),
        ):
            self.assertEqual(entangled_demo(self.sample(module, source)), [], source)

    def test_attributes(self) -> None:
        source = (
            "class A:\n    def __init__(self, x):\n        self.a = self.b = x\n        self.c: int = 1\n"
            "        self.d, self.e = x\n        if x:\n            self.a = self.d.f\n            x.g = 1\n"
            "    def h(self):\n        self.i = 1\n"
            "class B:\n    class C:\n        def __init__(self):\n            self.a = 1\n"
        )
        self.assertEqual(attributes_of("m", source), {"m.A": 5, "m.B": 0, "m.C": 1})

    def test_packages(self) -> None:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        (folder / "plugins").mkdir(parents=True)
        (folder / "plugins" / "skyproxy_plugin.py").touch()
        self.assertEqual(packages_under(folder), [])
        (folder / "plugins" / "__init__.py").touch()
        self.assertEqual(packages_under(folder), [folder / "plugins" / "__init__.py"])

    def test_intruders(self) -> None:
        tracked = ["README.md", "skyproxy/tap.py", "docs/design.md", "NOTES.txt", ".ci/run"]
        self.assertEqual(intruders(tracked), {"docs", "NOTES.txt"})
