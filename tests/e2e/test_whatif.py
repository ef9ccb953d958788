"""``skyproxy what-if`` before a real process, whose requests were timed."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import Starter
from tests.e2e.processes import eventually
from tests.e2e.raw import ask, chat
from tests.e2e.test_actions import House


def test_what_would_have_been(start: Starter, tmp_path: Path) -> None:
    house = House(start, tmp_path)
    house.command("set", "default", "first:guard;first=0.6", "hedge_after=200ms")
    for _ in range(3):
        assert ask(house.run, chat("default", stream=True)).status == 200  # type: ignore[arg-type]
    for model in ("first:guard;first=0.6", "second:guard"):
        assert ask(house.run, chat(model, stream=True)).status == 200  # type: ignore[arg-type]
    eventually(lambda: house.told("what-if")["kept"] == 5, "all are counted")
    told = house.told("what-if", "--slot", "default")
    assert told["requests"] == 3 and told["recorded"]["asked_twice"] == 3
    assert abs(told["recorded"]["silence"] - told["otherwise"]["silence"]) < 0.2
    (account,) = told["hedging"]
    assert account["slot"] == "default" and account["won"] == 3
    # The first one takes 0.6 s, as the request that named it shows.
    quiet = house.told("what-if", "--slot", "default", "--hedge-after", "off")
    assert 1.7 < quiet["otherwise"]["silence"] < 2.4 and quiet["otherwise"]["asked_twice"] == 0
    assert quiet["assumed"] == [{"deployment": "first:guard;first=0.6", "requests": 3}]
    shown = house.command("what-if", "--slot", "default", "--order", "second:guard", "--order", "first:guard").stdout
    assert "Reckoned with 3 requests since" in shown and "silence altogether" in shown
    assert "hedge_after must be a duration" in house.command("what-if", "--hedge-after", "soon", code=1).stderr
    assert "there is no slot 'defualt'" in house.command("what-if", "--slot", "defualt", code=1).stderr
