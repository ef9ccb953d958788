"""What providers and keys are called between machines."""

from __future__ import annotations

import platform
from types import SimpleNamespace
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import ProviderConfig
from skyproxy.process.notices.names import Names, own_place
from tests.unit.configs import config_of
from tests.unit.process.notices.machines import limit_of


def provider(more: str = "", **environ: str) -> ProviderConfig:
    return config_of(f"providers: {{some: {{base_url: 'https://api.example/v1'{more}}}}}", **environ).providers["some"]


def names_of(config: ProviderConfig, salt: str = "salt") -> Names:
    names = Names(salt, limit_of, "here")
    names.use([cast(Any, SimpleNamespace(config=config))])
    return names


class NamesTests(SynchronousTestCase):
    def key(self, config: ProviderConfig, variable: str = "", salt: str = "salt") -> str:
        found = names_of(config, salt).key("some", variable)
        assert found is not None
        return found

    def test_a_key_is_known_by_itself(self) -> None:
        keyed = ", api_key_env: [A, B]"
        one = provider(keyed, A="secret-1", B="secret-2")
        self.assertEqual(self.key(one, "A"), self.key(provider(keyed, A="other", B="secret-1"), "B"))
        self.assertNotEqual(self.key(one, "A"), self.key(one, "B"))
        self.assertNotEqual(self.key(one, "A"), self.key(one, "A", salt="another Redis"))
        self.assertRegex(self.key(one, "A"), "^[0-9a-f]{32}$")
        names = names_of(one)
        self.assertEqual(names.variables(names.provider("some") or "", self.key(one, "B")), ["B"])
        self.assertEqual((names.key("some", "C"), names.key("other", "A"), names.provider("other")), (None, None, None))
        self.assertEqual((names.here("unknown"), names.variables("unknown", "unknown")), (None, []))

    def test_who_asks_without_a_key(self) -> None:
        header = ", headers: {X-Token: '${TOKEN}'}"
        plain, one, other = provider(), provider(header, TOKEN="one"), provider(header, TOKEN="other")
        self.assertEqual(self.key(plain), self.key(provider()))
        self.assertEqual(len({self.key(each) for each in (plain, one, other)}), 3)

    def test_another_configuration_takes_the_place(self) -> None:
        names = names_of(provider())
        before = names.provider("some") or ""
        names.use([])
        self.assertEqual((names.provider("some"), names.here(before)), (None, None))

    def test_this_machine(self) -> None:
        self.assertEqual(own_place(), own_place())
        self.assertTrue(own_place().startswith(platform.node()))
