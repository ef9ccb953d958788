"""What the README and the guides say is so."""

from __future__ import annotations

import re
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from xml.etree import ElementTree

import yaml
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.main import COMMANDS
from skyproxy.config import (
    BreakerSettings,
    CacheRule,
    CacheSettings,
    Price,
    ProviderConfig,
    ProxySettings,
    SlotConfig,
    load,
)
from skyproxy.config.reference import reference, rows_of
from skyproxy.errors import ErrorKind
from skyproxy.formats.error_kinds import ACTIONS
from skyproxy.upstream.dispatch.retry_policy import RETRYABLE
from skyproxy.web.app import Api
from tests.soak.rows import ROWS

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [ROOT / "README.md", *sorted((ROOT / "skyproxy" / "docs").glob("*.md"))]

_YAML = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
_COMMAND = re.compile(r"(?:^    |`)(?:\S*[/\\])?skyproxy ([a-z][a-z-]*)", re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?://)([^)#]+)\)")
_MODULE = re.compile(r"`((?:skyproxy|tests)/[\w/.]+)`")

_PICTURE = re.compile(r"!\[[^\]]+\]\(([^)]+)\)")

_BETWEEN_PROCESSES = {
    f"SKYPROXY_{name}" for name in ("UPGRADE", "LINK", "TARGET", "ARGUMENTS", "FOLDER", "DESCRIPTION")
}
"""Variables that skyproxy sets for processes that it starts."""

# The classes of errors, and their codes.
_ERROR = re.compile(r"^class \w+\(\w+\):\n(?:(?!class |def ).*\n)*", re.MULTILINE)
_CODE = re.compile(r'^    code = "(\w+)"$', re.MULTILINE)

_RESTS = {
    "nothing": "",
    "key_and_model": "the key, for this model",
    "key": "the key",
    "deployment": "the model at this provider",
    "provider": "the provider",
}

KEYLESS = {name: "k" for name in ("OPENROUTER_API_KEY", "OPENROUTER_KEY_1", "OPENROUTER_KEY_2", "REDIS_PASSWORD")}


class DocsTests(SynchronousTestCase):
    """README.md and skyproxy/docs"""

    def test_there_are_guides(self) -> None:
        self.assertEqual(
            {path.name for path in TEXTS}, {"README.md", "player.md", "operator.md", "contributor.md", "reference.md"}
        )
        self.assertLessEqual(len((ROOT / "README.md").read_text("utf-8").splitlines()), 120)

    def test_configurations_can_be_used(self) -> None:
        seen = 0
        for path in TEXTS:
            for text in _YAML.findall(path.read_text("utf-8")):
                seen += 1
                if "providers" not in yaml.safe_load(text):
                    text += "providers: {x: {base_url: 'http://127.0.0.1:1/v1'}}\n"
                if "ollama:" in text and "11434" not in text:
                    text = text.replace(
                        "providers:\n", "providers:\n  ollama: {base_url: 'http://127.0.0.1:11434/v1'}\n"
                    )
                folder = Path(mkdtemp())
                self.addCleanup(rmtree, folder)
                (folder / "skyproxy.yaml").write_text(text, "utf-8")
                load(folder, environ=KEYLESS, cwd=folder, home=None)
        self.assertGreaterEqual(seen, 4)

    def test_the_reference_is_that_of_the_models(self) -> None:
        page = (ROOT / "skyproxy" / "docs" / "reference.md").read_text("utf-8")
        self.assertEqual(page, reference(), "write it anew: skyproxy schema --markdown")

    def test_types_of_several_kinds(self) -> None:
        kinds = {name: kind for name, kind, _, _ in rows_of(ProxySettings)}
        self.assertEqual((kinds["workers"], kinds["listen"]), ("whole number, or `auto`", "text, or list"))

    def test_each_option_has_its_meaning(self) -> None:
        for model in (ProxySettings, ProviderConfig, SlotConfig, BreakerSettings, CacheRule, CacheSettings, Price):
            for name, _, default, meaning in rows_of(model):
                self.assertTrue(meaning.endswith(".") and default, f"{model.__name__}.{name}")

    def test_the_tables_of_errors_are_those_of_the_data(self) -> None:
        kinds = [kind.value for kind in ErrorKind]
        for name, columns in (("README.md", 6), ("operator.md", 7)):
            (path,) = [path for path in TEXTS if path.name == name]
            rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in path.read_text("utf-8").splitlines()]
            rows = [row for row in rows if len(row) == columns and row[0].strip("`") in kinds]
            self.assertEqual([row[0].strip("`") for row in rows], kinds, name)
            for row in rows:
                kind = ErrorKind(row[0].strip("`"))
                action = ACTIONS[kind]
                wanted = ["yes" if does else "" for does in (action.other_key, action.next_candidate)]
                self.assertEqual(row[3:6], [*wanted, _RESTS[action.rests]], f"{name}: {kind}")
                # A field that skyproxy itself added is taken out again.
                if kind is not ErrorKind.PARAMETER:
                    self.assertEqual(row[2], "yes" if action.same_again else "", f"{name}: {kind}")
                if columns == 7:
                    self.assertEqual(row[6], str(action.status), f"{name}: {kind}")

    def test_statuses_that_are_tried_again(self) -> None:
        page = (ROOT / "skyproxy" / "docs" / "operator.md").read_text("utf-8")
        (told,) = re.findall(r"after connection errors, (.*?) and broken answers", page)
        found: set[int] = set()
        for first, last in re.findall(r"(\d{3})(?: to (\d{3}))?", told):
            found.update(range(int(first), int(last or first) + 1))
        self.assertEqual(found, RETRYABLE)

    def test_codes_of_errors_are_in_the_table(self) -> None:
        page = (ROOT / "skyproxy" / "docs" / "operator.md").read_text("utf-8").partition("\n## HTTP\n")[2]
        codes = set()
        for path in (ROOT / "skyproxy").rglob("*.py"):
            if path.parent.name != "demo":
                text = path.read_text("utf-8")
                codes.update(code for one in _ERROR.findall(text) for code in _CODE.findall(one))
        self.assertGreater(len(codes), 30)
        self.assertEqual({code for code in codes if f"`{code}`" not in page}, set(), "say it in the table")
        rows = [row.split("|")[2] for row in page.splitlines() if re.match(r"\| [45]", row)]
        self.assertLessEqual({code for row in rows for code in re.findall(r"`(\w+)`", row)}, codes)

    def test_paths_are_named(self) -> None:
        page = (ROOT / "skyproxy" / "docs" / "operator.md").read_text("utf-8")
        paths = {re.sub("<.*", "", rule.rule) for rule in Api.app.url_map.iter_rules()}
        # The page's own.
        paths -= {"/", "/a/", "/api/login", "/api/logout"}
        self.assertGreater(len(paths), 40)
        self.assertEqual({path for path in paths if path not in page}, set())

    def test_metrics_are_in_the_tables(self) -> None:
        page = (ROOT / "skyproxy" / "docs" / "operator.md").read_text("utf-8")
        told = set(re.findall(r"skyproxy_[a-z_]+", page))
        names = set()
        for path in (ROOT / "skyproxy" / "web" / "metrics").glob("*.py"):
            # Those that end with _ are made longer by a currency.
            names.update(re.findall(r'"(skyproxy_[a-z_]*[a-z])"', path.read_text("utf-8")))
        self.assertGreater(len(names), 60)
        self.assertEqual({name for name in names if not {name, f"{name}_total", f"{name}_info"} & told}, set())

    def test_variables_of_the_environment_are_named(self) -> None:
        text = "".join(path.read_text("utf-8") for path in TEXTS)
        named = set(re.findall(r"\bSKYPROXY_[A-Z_]+\b", text))
        given = set()
        for path in (ROOT / "skyproxy").rglob("*.py"):
            given.update(re.findall(r'"(SKYPROXY_[A-Z]+(?:_[A-Z]+)*)"', path.read_text("utf-8")))
        self.assertGreaterEqual(len(given), 2)
        self.assertEqual(given - _BETWEEN_PROCESSES - named, set())

    def test_the_number_of_faults_is_right(self) -> None:
        (number,) = re.findall(r"`python -m tests.soak` tries (\d+) faults", (ROOT / "CHANGELOG.md").read_text("utf-8"))
        self.assertEqual(int(number), len(ROWS))

    def test_what_players_read_is_said_so(self) -> None:
        page = (ROOT / "skyproxy" / "docs" / "player.md").read_text("utf-8").partition("| it says |")[2]
        sources = "".join(path.read_text("utf-8") for path in (ROOT / "skyproxy").rglob("*.py"))
        seen = 0
        for row in page.partition("\n\n")[0].splitlines()[2:]:
            for code, quoted in re.findall(r'`([^`]+)`|"([^"]+)"', row.split("|")[1]):
                said = re.split("[…0-9]", code or quoted)[0].strip()
                if " " in said:  # Single words are those of providers.
                    seen += 1
                    self.assertIn(said, sources)
        self.assertGreater(seen, 8)

    def test_pictures_are_valid_and_shown_and_shipped(self) -> None:
        folder = ROOT / "skyproxy" / "docs"
        pictures = sorted(folder.glob("*.svg"))
        self.assertGreaterEqual(len(pictures), 2)
        shown = {link for path in TEXTS for link in _PICTURE.findall(path.read_text("utf-8"))}
        screenshot = folder / "page.png"
        self.assertEqual(shown, {path.name for path in [*pictures, screenshot]})
        self.assertTrue(screenshot.read_bytes().startswith(b"\x89PNG\r\n"))
        self.assertLess(screenshot.stat().st_size, 100_000)
        for path in pictures:
            self.assertLess(path.stat().st_size, 20_000)
            root = ElementTree.parse(path).getroot()
            self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
            title = root.find("{http://www.w3.org/2000/svg}title")
            assert title is not None and title.text is not None
            self.assertIn("a drawing", title.text, "it is no screenshot, and says so")
            # What is shown on the server's own page must ask nobody else for anything, and run nothing.
            for element in root.iter():
                self.assertNotIn(element.tag.rpartition("}")[2], ("script", "image", "foreignObject", "use", "style"))
                self.assertFalse([name for name in element.attrib if "href" in name or name.startswith("on")])
        for ending in ("svg", "png"):
            self.assertIn(f"    docs/*.{ending}\n", (ROOT / "setup.cfg").read_text("utf-8"))

    def test_commands_exist(self) -> None:
        named = set()
        for path in TEXTS:
            named.update(_COMMAND.findall(path.read_text("utf-8")))
        self.assertLessEqual(named, set(COMMANDS))
        self.assertLessEqual(set(COMMANDS), named, "each command is named")

    def test_links_and_places_exist(self) -> None:
        for path in TEXTS:
            text = path.read_text("utf-8")
            for link in _LINK.findall(text):
                self.assertTrue((path.parent / link).exists(), f"{path.name}: {link}")
            for place in _MODULE.findall(text):
                self.assertTrue((ROOT / place).exists(), f"{path.name}: {place}")
