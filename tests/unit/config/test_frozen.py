"""That a configuration stays what it was when it was read."""

from __future__ import annotations

from pydantic import SecretStr, ValidationError

from skyproxy.config import Config, ProviderConfig, ProxySettings, SlotConfig
from tests.unit.config.support import PROVIDERS, ConfigTestCase


class FrozenTests(ConfigTestCase):
    def test_nothing_changes(self) -> None:
        config = self.load_text(PROVIDERS + "model_slots: {s: {provider: lm, model: m, params: {a: 1}}}")
        slot = config.model_slots["s"]
        self.assertRaises(ValidationError, setattr, config, "source", "x")
        self.assertRaises(ValidationError, setattr, config.proxy, "listen", "tcp:1")
        self.assertRaises(ValidationError, setattr, slot, "model", "x")
        for mapping in (config.providers, config.model_slots, slot.params, config.providers["lm"].headers):
            self.assertFalse(hasattr(mapping, "__setitem__"))

    def test_equal_if_read_again(self) -> None:
        self.environ["OPENAI_API_KEY"] = "one"
        old = self.load_text(PROVIDERS)
        new = self.load_text(PROVIDERS)
        self.assertEqual(old.providers["openai"], new.providers["openai"])
        self.environ["OPENAI_API_KEY"] = "two"
        self.assertNotEqual(old.providers["openai"], self.load_text(PROVIDERS).providers["openai"])

    def test_made_by_hand(self) -> None:
        provider = ProviderConfig(name="a", base_url="http://127.0.0.1:1/v1", api_key=SecretStr("k"))
        moved = provider.model_copy(update={"base_url": "http://127.0.0.1:2/v1"})
        config = Config(
            proxy=ProxySettings(),
            providers={"a": moved},
            model_slots={"s": SlotConfig(name="s", provider="a", model="m")},
            source="test",
        )
        self.assertIs(config.providers["a"], moved)
        self.assertEqual((provider.dialect, provider.auth()), ("local", (b"Authorization", b"Bearer k")))
