"""Several keys for one provider: which carries a request."""

from __future__ import annotations

import time

from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, chat, open_request, read_until
from tests.features.lab import Lab, Sheet, config_of
from tests.features.seen import is_good, saw

_REST = 2
_DOUBT = 1.1
_REFUSED = "Provider refuses the key of this variable"


def show(lab: Lab) -> None:
    """Each provider has two keys: a and b."""
    demo = lab.demo()
    env = {f"KEY_{kind}_{key}": f"sk-{kind}-secret-{key}".lower() for kind in _KINDS for key in "AB"}
    providers = {kind.lower(): {"api_key_env": [f"KEY_{kind}_A", f"KEY_{kind}_B"], "max_retries": 2} for kind in _KINDS}
    proxy = lab.proxy(config_of(demo, providers), env=env)
    sheet = lab.sheet(
        "Several keys", "Two keys, a and b. What the provider received: the keys, in the order of requests."
    )
    _least_busy(sheet, demo, proxy)
    _rests(sheet, demo, proxy)
    _unknown_limit(sheet, demo, proxy)
    for status in (401, 403):
        _put_aside(sheet, demo, proxy, status)
    _content(sheet, demo, proxy)
    _all_refused(sheet, demo, proxy)
    proxy.stop()
    text = proxy.log_file.read_text() + "\n".join(proxy.output)
    shown = sum(key in text for key in env.values())
    sheet.row("the log", "-", f"{shown} of {len(env)} keys stand in it", holds=shown == 0)


_KINDS = ("BUSY", "LIMITED", "UNTOLD", "R401", "R403", "CONTENT", "BAD")


def _keys(demo: DemoProvider, count: int) -> str:
    return " ".join(request["headers"]["authorization"][-1] for request in demo.requests(count))


def _least_busy(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    held = open_request(proxy, chat("busy:guard;first=2;delay=0"))
    eventually(lambda: demo.stats()["active"] == 1, "the first key is busy")
    answers = [ask(proxy, chat("busy:guard;delay=0")) for _ in range(2)]
    used = _keys(demo, 3)
    read_until(held, b"total_tokens")
    held.close()
    answers.append(ask(proxy, chat("busy:guard;delay=0")))
    used += f" {_keys(demo, 1)}"
    holds = used == "a b b a" and all(map(is_good, answers))
    sheet.row("a carries a slow request; two more; it ends; one more", saw(*answers), used, holds=holds)


def _rests(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    demo.reset()
    limited = ask(proxy, chat(f"limited:guard;delay=0;fail=1;status=429;retry_after={_REST}"))
    first, then = demo.requests(2)
    answers = [limited, *(ask(proxy, chat("limited:guard;delay=0")) for _ in range(3))]
    used = _keys(demo, 5)
    gap = then["started"] - first["finished"]
    holds = used == "a b b b b" and all(map(is_good, answers)) and gap < _REST
    told = f"{used}; b {gap * 1000:.0f} ms after a's 429"
    sheet.row(f"a is answered 429, Retry-After: {_REST}; three more", saw(*answers), told, holds=holds)
    time.sleep(_REST)
    answer = ask(proxy, chat("limited:guard;delay=0"))
    used = _keys(demo, 1)
    sheet.row(f"{_REST} s later", saw(answer), used, holds=is_good(answer) and used == "a")
    demo.reset()
    answers = [ask(proxy, chat("limited:guard;status=429;retry_after=60")) for _ in range(2)]
    wait = answers[-1].headers.get("retry-after")
    holds = [each.status for each in answers] == [429, 503] and demo.stats()["total"] == 2 and wait in ("59", "60")
    told = f"{_keys(demo, 2)}"
    sheet.row(
        "both are answered 429, Retry-After: 60; one more", f"{saw(*answers)}, Retry-After: {wait}", told, holds=holds
    )


def _put_aside(sheet: Sheet, demo: DemoProvider, proxy: Proxy, status: int) -> None:
    demo.reset()
    provider = f"r{status}"
    answers = [ask(proxy, chat(f"{provider}:guard;delay=0;fail=1;status={status}"))]
    if status == 403:
        # It may be about the content: the key is used again, and put aside when another request meets it, too.
        time.sleep(_DOUBT)
        answers += [ask(proxy, chat(f"{provider}:guard;delay=0;fail=1;status={status};text=again"))]
    answers += [ask(proxy, chat(f"{provider}:guard;delay=0")) for _ in range(3)]
    pattern = "a b " * (len(answers) - 3) + "b b b"
    used = _keys(demo, len(pattern.split()))
    proxy.record(_REFUSED, provider=provider)
    told = [record for record in proxy.records(_REFUSED) if record["provider"] == provider]
    holds = used == pattern and all(map(is_good, answers)) and len(told) == 1
    holds = holds and (told[0]["variable"], told[0]["status"]) == (f"KEY_R{status}_A", status)
    lines = f"{used}; {len(told)} line in the log: {told[0]['variable']}"
    times = "twice, to different requests" if status == 403 else "once"
    sheet.row(f"a is answered {status} {times}; three more", saw(*answers), lines, holds=holds)


def _content(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    """What no key may ask is no fault of the keys."""
    demo.reset()
    answers = []
    for number in range(2):
        answers.append(ask(proxy, chat(f"content:guard;status=403;text={number}")))
        time.sleep(_DOUBT)
    used = _keys(demo, 20)
    aside = [record for record in proxy.records(_REFUSED) if record["provider"] == "content"]
    holds = [each.status for each in answers] == [403] * 2 and used == "a b a b" and not aside
    lines = f"{used}; {len(aside)} lines in the log"
    sheet.row("both are answered 403 to the same request; likewise to another", saw(*answers), lines, holds=holds)


def _unknown_limit(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    demo.reset()
    answer = ask(proxy, chat("untold:guard;delay=0;fail=2;status=429"))
    _, second, third = demo.requests(3)
    wait = third["started"] - second["finished"]
    used = _keys(demo, 3)
    holds = is_good(answer) and used == "a b a" and 0.4 < wait < 2
    sheet.row("both are answered 429, without Retry-After", saw(answer), f"{used}; {wait:.1f} s later", holds=holds)


def _all_refused(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    """The last key stays in use, for the provider's own answer says most; each is told once all the same."""
    demo.reset()
    answers = [ask(proxy, chat("bad:guard;status=401")) for _ in range(3)]
    used = _keys(demo, 20)
    proxy.record(_REFUSED, variable="KEY_BAD_B")
    told = [record["variable"] for record in proxy.records(_REFUSED) if record["provider"] == "bad"]
    holds = [each.status for each in answers] == [401] * 3 and used == "a b b b" and told == ["KEY_BAD_A", "KEY_BAD_B"]
    lines = f"{used}; {len(told)} lines in the log: {', '.join(told)}"
    sheet.row("both are answered 401; two more", saw(*answers), lines, holds=holds)
