"""Hedging: a second candidate is asked besides; the winner is kept, the loser stopped."""

from __future__ import annotations

from tests.e2e.processes import DemoProvider, eventually
from tests.e2e.raw import ask, chat, open_request
from tests.features.lab import Lab, config_of
from tests.features.seen import is_good, received, saw


def show(lab: Lab) -> None:
    """The second is asked after 200 ms."""
    first, second = lab.demo(), lab.demo()
    models = {
        "slow": ("guard;head=10;delay=0", "guard;delay=0"),
        "slower": ("guard;first=0.6;delay=0", "guard;first=10"),
        "quick": ("guard;delay=0", "guard;delay=0"),
        "fails": ("guard;status=503", "guard;delay=0"),
        "worse": ("guard;first=0.6;delay=0", "guard;status=401"),
        "both": ("guard;hang", "guard;hang"),
    }
    slots = {
        name: {"model": model, "fallbacks": [f"second:{other}"], "hedge_after": "5s" if name == "fails" else "200ms"}
        for name, (model, other) in models.items()
    }
    proxy = lab.proxy(config_of(first, {"second": {"base_url": second.base_url}}, slots))
    sheet = lab.sheet("Hedging", "`hedge_after: 200ms`. The loser's generation is cancelled at its provider.")

    def told() -> str:
        return f"first {received(first)}; second {received(second)}"

    def ends(loser: DemoProvider | None, winner: DemoProvider) -> bool:
        if loser is not None:
            eventually(lambda: loser.stats()["cancelled"] == 1, "the loser is cancelled")
        return bool(winner.stats()["completed"] == 1)

    for slot, situation, loser, winner in (
        ("slow", "the first is slow: the second wins", first, second),
        ("slower", "the second is slower still: the first wins", second, first),
        ("quick", "the first answers in time: no second", None, first),
        ("fails", "the first fails before `hedge_after` (5 s here): the second at once", None, second),
    ):
        for stream in (False, True):
            first.reset()
            second.reset()
            answer = ask(proxy, chat(slot, stream=stream))
            asked = 1 if slot == "quick" else 2
            holds = is_good(answer) and ends(loser, winner)
            holds = holds and first.stats()["total"] + second.stats()["total"] == asked
            sheet.row(situation, saw(answer), told(), holds=holds)
    for stream in (False, True):
        first.reset()
        second.reset()
        answer = ask(proxy, chat("worse", stream=stream))
        holds = is_good(answer) and first.stats()["completed"] == second.stats()["by_status"].get("401") == 1
        sheet.row(
            "the second refuses while the first is slow: the first is waited for", saw(answer), told(), holds=holds
        )
    first.reset()
    second.reset()
    connection = open_request(proxy, chat("both"))
    eventually(lambda: first.stats()["active"] == second.stats()["active"] == 1, "both are asked")
    connection.close()
    eventually(lambda: first.stats()["cancelled"] == second.stats()["cancelled"] == 1, "both are told")
    sheet.row("the client leaves while both are asked", "nothing", told(), holds=True)
