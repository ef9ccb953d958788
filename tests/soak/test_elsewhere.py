"""Nobody but the configured origins is contacted, whatever a client or a provider says."""

from __future__ import annotations

import json

from tests.e2e.conftest import Starter, config_for
from tests.e2e.findings import Findings
from tests.e2e.mortal import whole
from tests.e2e.processes import DemoProvider, Proxy
from tests.e2e.raw import call, chat
from tests.soak.raw_provider import Asked, RawProvider, framed

FIELDS = ("api_base", "base_url", "baseURL", "api_url", "endpoint", "url", "proxy_url", "host", "provider")
HEADERS = (
    "X-Forwarded-Host", "X-Forwarded-Server", "X-Original-URL", "X-Rewrite-URL", "X-Host", "X-Upstream", "X-Base-Url",
    "X-Portkey-Custom-Host", "OpenAI-Base-Url", "Forwarded", "Proxy", "Destination",
)  # fmt: skip
STATUSES = (
    b"301 Moved",
    b"302 Found",
    b"303 See Other",
    b"307 Temporary",
    b"308 Permanent",
    b"300 Choices",
    b"201 Made",
)


def test_nobody_else_is_contacted(start: Starter, demo: DemoProvider, findings: Findings) -> None:
    elsewhere = RawProvider(lambda asked: whole("caught"))
    address = f"127.0.0.1:{elsewhere.port}"

    def redirecting(asked: Asked) -> list[bytes]:
        status = STATUSES[int(json.loads(asked.body)["seed"])]
        more = (
            f'Location: http://{address}/v1\r\nRefresh: 0; url=http://{address}/\r\nAlt-Svc: http/1.1="{address}"\r\n'
        )
        return [framed(b"{}", status=status, more=more.encode())]

    provider = RawProvider(redirecting)
    config = config_for(demo, max_retries=1)
    url = f"http://127.0.0.1:{provider.port}/v1"
    config["providers"]["redirecting"] = {**config["providers"]["demo"], "base_url": url}
    proxy = start(Proxy, config)
    tries = 0
    for field in FIELDS:
        for value in (f"http://{address}/v1", address, {"url": f"http://{address}/v1"}):
            call(proxy, "POST", "/v1/chat/completions", chat(**{field: value}))
            call(proxy, "POST", "/v1/chat/completions", chat(metadata={field: value}))
            tries += 2
    for name in HEADERS:
        for value in (address, f"http://{address}/v1", f"host={address}"):
            call(proxy, "POST", "/v1/chat/completions", chat(), {name: value})
            tries += 1
    for model in (f"http://{address}/v1", f"{address}/m", f"demo@{address}:m", f"//{address}/x", f"demo:m@{address}"):
        call(proxy, "POST", "/v1/chat/completions", chat(model))
        tries += 1
    for target in (
        f"http://{address}/v1/chat/completions",
        f"//{address}/v1/chat/completions",
        f"/v1/http://{address}/",
    ):
        call(proxy, "POST", target, chat())
        call(proxy, "POST", target, chat(), {"Host": address})
        tries += 2
    for number in range(len(STATUSES)):
        for stream in (False, True):
            call(proxy, "POST", "/v1/chat/completions", chat("redirecting:m", stream, seed=number))
            tries += 1
    assert provider.connections and demo.stats()["total"]
    assert not elsewhere.connections, [each.head for each in elsewhere.asked]
    findings.figure(f"{tries} tries, 0 connections elsewhere")
    provider.close()
    elsewhere.close()
