"""What the samples have in comments, and what the reference has as examples, can be copied as it stands."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from shutil import copytree, rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import load
from skyproxy.config.reference import reference

_NAMES = ("OPENROUTER_API_KEY", "OPENROUTER_KEY_1", "OPENROUTER_KEY_2", "GROQ_API_KEY", "REDIS_PASSWORD", "TEAM")
_ENVIRON = {name: f"{name.lower()}-0123456789" for name in _NAMES}

_HASH = f"sha256:{'0123456789abcdef' * 4}"

_WHOLE = """
providers:
  openrouter: {base_url: "https://openrouter.ai/api/v1", EACH_PROVIDER: x}
  ollama: {base_url: "http://127.0.0.1:11434/v1"}
model_slots:
  default: {provider: openrouter, model: m, EACH_SLOT: x}
  combat: {provider: ollama, model: m}
  memory: {provider: ollama, model: m}
  local: {provider: ollama, model: m}
rates: {EUR/USD: 1.1}
"""

_PLACES = {
    "proxy:": "proxy: {X}",
    "defaults:": "defaults: {X}",
    "each provider": "EACH_PROVIDER: x",
    "each slot": "EACH_SLOT: x",
    "each client": f'clients: {{lydia: {{key_hash: "{_HASH}", X}}}}',
    "access:": "access: {X}",
    "purse:": "proxy: {purse: {amount: 2, X}}",
}
"""Where an example stands, by the beginnings of the reference's headings."""


class SamplesTests(SynchronousTestCase):
    """skyproxy/config/sample, and the reference"""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.place = self.folder / "config"
        copytree(str(files("skyproxy.config").joinpath("sample")), self.place)

    def load(self, path: Path) -> None:
        load(path, environ=_ENVIRON, cwd=self.folder, home=None)

    def test_options_in_comments(self) -> None:
        sample = self.place / "providers.yaml"
        lines = sample.read_text("utf-8").splitlines()
        shown = [number for number, line in enumerate(lines) if re.match(r'\s*# (  )?("|[a-z_]+: \S|prices:)', line)]
        shown = [number for number in shown if not lines[number].startswith(("# yaml-", "# allowed_fields"))]
        self.assertGreater(len(shown), 8)
        for number in shown:
            lines[number] = lines[number].replace("# ", "", 1)
        sample.write_text("\n".join(lines), "utf-8")
        self.load(self.place)

    def test_options_of_slots_in_comments(self) -> None:
        routes = self.place / "routes.yaml"
        options = re.findall(r"^#   ([a-z_]+: .*)$", routes.read_text("utf-8"), re.MULTILINE)
        options = [option for option in options if not option.startswith(("default:", "local:", "best:"))]
        self.assertGreater(len(options), 8)
        for option in options:
            slot = f"    provider: openrouter\n    model: m\n    {option}\n"
            routes.write_text(
                f"model_slots:\n  other_slot: {{provider: ollama, model: m}}\n  default:\n{slot}", "utf-8"
            )
            self.load(self.place)

    def test_examples_of_the_reference(self) -> None:
        file, seen = self.folder / "skyproxy.yaml", 0
        for part in reference().split("\n## ")[1:]:
            heading = part.partition("\n")[0].strip("`")
            for option, examples in re.findall(r"^\| `(\w+)` \|.* Example: (.*)\. \|$", part, re.MULTILINE):
                (place,) = [_PLACES[name] for name in _PLACES if heading.startswith(name)]
                for example in re.findall(r"`([^`]+)`", examples):
                    seen += 1
                    line = f"{option}: {example}"
                    text = _WHOLE.replace(place, line) if place in _WHOLE else _WHOLE + place.replace("X}", line + "}")
                    text = re.sub(r", EACH_\w+: x", "", text)
                    file.write_text(text, "utf-8")
                    self.load(file)
        self.assertGreater(seen, 30)
