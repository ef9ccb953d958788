from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import ProviderConfig
from skyproxy.errors import UpstreamUnreachable
from skyproxy.http.common.headers import Fields
from skyproxy.upstream.exchange.questions import Questions, ServerReply
from skyproxy.upstream.key_check import KeyReport, check_keys, unlisted
from tests.unit.configs import config_of

MODELS = {"data": [{"id": "m"}, {"id": "models/gemini"}, {"no": "id"}]}


class Server:
    """Answers as it is told to, by path and by whether the key is the right one."""

    def __init__(self, answers: dict[tuple[str, bool], Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def get(self, url: str, headers: Fields) -> ServerReply:
        path = url.removeprefix("http://127.0.0.1:1/v1")
        self.asked.append(path)
        right = any(b"sk-right" in value for _, value in headers)
        answer = self.answers[path, right]
        if isinstance(answer, Exception):
            raise answer
        status, value = answer
        return ServerReply(status, value if status == 200 else None, "")


class KeyTests(SynchronousTestCase):
    """check_keys"""

    def provider(self, dialect: str = "openai", key: str | None = "sk-right") -> ProviderConfig:
        variable = ", api_key_env: A_KEY" if key else ""
        text = f"providers: {{p: {{base_url: 'http://127.0.0.1:1/v1', dialect: {dialect}{variable}}}}}\n"
        config = config_of(text, **({"A_KEY": key} if key else {}))
        return config.providers["p"]

    def report(self, config: ProviderConfig, **answers: Any) -> tuple[KeyReport, Server]:
        paths = {"models": "/models", "key": "/key"}
        server = Server(
            {(paths[name.partition("_")[0]], not name.endswith("_wrong")): each for name, each in answers.items()}
        )
        (found,) = self.successResultOf(Deferred.fromCoroutine(check_keys(config, cast(Questions, server))))
        self.assertNotIn("sk-right", repr(found))
        return found, server

    def test_good_only_where_a_wrong_key_is_refused(self) -> None:
        for status in (400, 401, 403):
            found, _ = self.report(self.provider(), models=(200, MODELS), models_wrong=(status, None))
            self.assertEqual((found.result, found.variable, found.models), ("good", "A_KEY", ("m", "gemini")))
        found, _ = self.report(self.provider(), models=(200, MODELS), models_wrong=(200, MODELS))
        self.assertEqual(found.result, "not tested")

    def test_refused_and_without_an_answer(self) -> None:
        found, server = self.report(self.provider(), models=(401, None))
        self.assertEqual((found.result, server.asked), ("refused", ["/models"]))
        found, _ = self.report(self.provider(), models=(503, None))
        self.assertEqual(found.result, "not tested")
        found, _ = self.report(self.provider(), models=UpstreamUnreachable("gone"))
        self.assertEqual((found.result, found.text), ("no answer", "gone"))

    def test_openrouter_is_asked_of_the_key_itself(self) -> None:
        told = {"data": {"usage": 1.5, "limit_remaining": 3, "is_free_tier": False}}
        found, server = self.report(self.provider("openrouter"), key=(200, told), models=(200, MODELS))
        self.assertEqual((found.result, found.text), ("good", "1.50 USD used, 3.00 USD left"))
        self.assertEqual(server.asked, ["/key", "/models"])
        found, _ = self.report(self.provider("openrouter"), key=(401, None))
        self.assertEqual(found.result, "refused")

    def test_names_that_no_list_has(self) -> None:
        for dialect, model, has in (
            ("local", "llama3.2", True), ("local", "llama3.1", False), ("openai", "llama3.2", False),
            ("openrouter", "m/small", True), ("openrouter", "m/small:nitro", True),
            ("openrouter", "m/small:free", False), ("openrouter", "m/smal:nitro", False),
            ("openrouter", "@preset/lydia", True), ("openai", "m/small:nitro", False),
        ):  # fmt: skip
            config = config_of(
                f"providers: {{p: {{base_url: 'http://127.0.0.1:1/v1', dialect: {dialect}}}}}\n"
                f"model_slots: {{s: {{provider: p, model: '{model}'}}}}\n"
            )
            report = KeyReport(None, "answers", models=("llama3.2:latest", "llama3.1:8b", "m/small"))
            self.assertEqual(not list(unlisted(config, "p", [report])), has, (dialect, model))

    def test_without_a_key(self) -> None:
        found, _ = self.report(self.provider("local", None), models_wrong=(200, MODELS))
        self.assertEqual((found.result, found.variable, found.text), ("answers", None, "2 models"))
        found, _ = self.report(self.provider("local", None), models_wrong=(200, {"object": "list", "data": None}))
        self.assertEqual((found.result, found.text, found.models), ("answers", "0 models", ()))
        found, _ = self.report(self.provider("local", None), models_wrong=(404, None))
        self.assertEqual((found.result, found.text), ("answers", "status 404 to /models: is its base_url right?"))
        found, _ = self.report(self.provider("local", None), models_wrong=(401, None))
        self.assertEqual(found.result, "refused")

    def test_a_web_site_where_the_api_should_be(self) -> None:
        for dialect, path in (("openrouter", "key"), ("openai", "models")):
            found, server = self.report(self.provider(dialect), **{path: (200, None)})
            told = f"no JSON from /{path}: is its base_url right?"
            self.assertEqual((found.result, found.text, server.asked), ("not tested", told, [f"/{path}"]))
        found, _ = self.report(self.provider("local", None), models_wrong=(200, None))
        self.assertEqual((found.result, found.text), ("answers", "no JSON from /models: is its base_url right?"))
