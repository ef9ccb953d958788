"""Tokens of an identity provider, whose keys come over the network; on processes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import Answer, ask, chat
from tests.e2e.test_reload import reload

FIRST = ECKey.generate_key("P-256", {"kid": "first"}, private=True)
SECOND = ECKey.generate_key("P-256", {"kid": "second"}, private=True)


class IdentityProvider:
    """Gives its public keys at /jwks.json.

    :ivar keys: those of now; none: it answers 503.
    :ivar asked: how often.
    """

    def __init__(self) -> None:
        self.keys: list[Any] = [FIRST]
        self.asked = 0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                body = json.dumps(KeySet(provider.keys).as_dict(private=False) if provider.keys else {}).encode()
                self.send_response(200 if provider.keys else 503)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def serving(provider: IdentityProvider) -> Iterator[None]:
    thread = threading.Thread(target=provider.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        provider.server.shutdown()
        provider.server.server_close()


@pytest.fixture
def identity() -> Iterator[IdentityProvider]:
    provider = IdentityProvider()
    with serving(provider):
        yield provider


def config_of(demo: DemoProvider, jwks: str, **more: Any) -> dict[str, Any]:
    groups = {"players": {"slots": ["combat"], "requests_per_minute": 3}, "staff": {}}
    access = {"jwt": {"issuer": "https://id", "audience": "skyproxy", "jwks": jwks, "groups": groups}, **more}
    return {**config_for(demo), "access": access}


def token(key: Any = FIRST, seconds: float = 600, **claims: Any) -> str:
    said = {"iss": "https://id", "aud": "skyproxy", "exp": int(time.time() + seconds), "sub": "lydia", **claims}
    return str(jwt.encode({"alg": "ES256", "kid": key.kid}, {"groups": ["players"], **said}, key))


def with_token(proxy: Proxy, given: str | None, model: str = "combat") -> Answer:
    return ask(proxy, chat(model), {"Authorization": f"Bearer {given}"} if given else {})


def test_who_has_a_token_may_ask_as_its_group_says(
    start: Starter, demo: DemoProvider, identity: IdentityProvider
) -> None:
    proxy = start(Proxy, config_of(demo, f"{identity.url}/jwks.json"))
    eventually(lambda: with_token(proxy, token(groups=["staff"])).status == 200, "the keys have come")
    assert with_token(proxy, None).status == 401
    client = openai.OpenAI(base_url=proxy.base_url, api_key=token(), max_retries=0)
    assert client.chat.completions.create(model="combat", messages=[{"role": "user", "content": "Hi"}]).choices
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="default", messages=[{"role": "user", "content": "Hi"}])
    # Another token of the same client shares its limits.
    seen = [with_token(proxy, token(seconds=500 + number)).status for number in range(4)]
    assert seen.count(429) >= 1 and set(seen) <= {200, 429}
    for bad, why in (
        (token(iss="https://other"), "does not hold here"),
        (token(seconds=-100), "expired"),
        (token(groups=["bandits"]), "no group"),
        (token()[:-6] + "AAAAAA", "not signed by the identity provider"),
    ):
        refused = with_token(proxy, bad)
        assert refused.status == 401
        error = refused.json()["error"]
        assert error["code"] == "invalid_api_key" and why in error["message"] and bad not in error["message"]
    assert not any(bad.split(".")[2] in line for line in proxy.log_file.read_text().splitlines())
    assert proxy.stop() == 0


def test_the_provider_changes_its_keys_and_goes_away(
    start: Starter, demo: DemoProvider, identity: IdentityProvider
) -> None:
    proxy = start(Proxy, config_of(demo, f"{identity.url}/jwks.json"))
    eventually(lambda: with_token(proxy, token(groups="staff")).status == 200, "the keys have come")
    identity.keys = []
    config = config_of(demo, f"{identity.url}/jwks.json")
    config["access"]["jwt"]["groups"]["guards"] = {}
    reload(proxy, config)
    assert with_token(proxy, token(groups="guards")).status == 200
    assert with_token(proxy, token(SECOND, groups="staff")).status == 401
    assert with_token(proxy, token(groups="staff")).status == 200
    identity.keys = [FIRST, SECOND]
    eventually(lambda: with_token(proxy, token(SECOND, groups="staff")).status == 200, "the new key", 60)


def test_without_keys_nobody_is_let_in(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    proxy = start(Proxy, config_of(demo, "keys.json"))
    refused = with_token(proxy, token())
    assert (refused.status, refused.json()["error"]["code"]) == (503, "token_keys_unknown")
    assert refused.headers["retry-after"]
    (proxy.folder / "keys.json").write_text(json.dumps(KeySet([FIRST]).as_dict(private=False)))
    eventually(lambda: with_token(proxy, token(groups="staff")).status == 200, "the file is read", 60)
