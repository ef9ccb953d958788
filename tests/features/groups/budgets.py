"""The purse and budgets: nobody overspends, a kill forgets nothing, a full disk refuses and comes back."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from pathlib import Path

from tests.e2e.processes import Proxy, eventually
from tests.e2e.raw import ask, call, chat
from tests.e2e.spending import MAX_TOKENS, SLOTS, Spent, budget, config_of, full, settled, small_disk, spend, watched
from tests.features.lab import Lab, Sheet

_REQUESTS, _CLIENTS, _KILLS = 10_000, 50, 20
_ACCOUNTS = ("process", "slot:limited", "provider:other")
_DOLLARS = 1e6
"""Sums are told in millionths of a dollar."""


def show(lab: Lab) -> None:
    """A purse, the budget of a slot, and that of a provider."""
    sheet = lab.sheet(
        "Budgets",
        "Sums are millionths of a dollar. Half of the requests are streams, a tenth leave early; providers fail, cut, "
        "are hedged, retried, cached and shared.",
    )
    _edge(sheet, lab)
    with tempfile.TemporaryDirectory(prefix="skyproxy-") as folder:
        _kills(sheet, lab, Path(folder))
        _full_disk(sheet, lab, Path(folder) / "disk")


def _edge(sheet: Sheet, lab: Lab) -> None:
    demo, amount = lab.demo(), _REQUESTS * 12e-6
    made = config_of(demo, {"amount": amount, "per": "all"})
    made["model_slots"]["limited"]["budget"] = {"amount": amount / 20, "per": "day"}
    made["providers"]["other"]["budget"] = {"amount": amount / 10, "per": "month"}
    proxy, spent = lab.proxy(made), Spent()
    most = asyncio.run(watched(proxy, spend(proxy, _REQUESTS, _CLIENTS, 1, list(SLOTS), spent), _ACCOUNTS))
    seen = ", ".join(f"{count:,} of {status}" for status, count in spent.statuses.most_common())
    for account in _ACCOUNTS:
        found = settled(proxy, account)
        told = (
            f"{found['spent'] * _DOLLARS:.0f} of {found['amount'] * _DOLLARS:.0f} spent, {found['reserved']} reserved; "
            f"at most {most[account]:.2%} at once; {found['refused']} sendings refused"
        )
        holds = found["spent"] <= found["amount"] and not found["reserved"] and most[account] <= 1.0000001
        sheet.row(f"{_REQUESTS:,} requests of {_CLIENTS} clients: {account}", seen, told, holds=holds)
        seen = "as above"
    ledger = call(proxy, "GET", "/api/costs?period=all").json()["cost"]["USD"]
    spent_at_all = settled(proxy)["spent"]
    sheet.row(
        "… beside the ledger of costs, which counts by itself",
        "",
        f"purse {spent_at_all * _DOLLARS:.3f}, ledger {ledger * _DOLLARS:.3f}",
        holds=abs(spent_at_all - ledger) < _REQUESTS * 2e-9,
    )


def _kills(sheet: Sheet, lab: Lab, folder: Path) -> None:
    demo = lab.demo()
    made = config_of(demo, {"amount": 1000, "per": "all"}, costs=False)
    made["access"] = {"store": str(folder / "access.sqlite")}
    spent, figure, lost, surplus = Spent(), 0.0, 0.0, 0.0
    for life in range(_KILLS + 1):
        proxy = lab.proxy(made)
        began = settled(proxy)["spent"]
        lost = max(lost, figure - began, spent.known - began)
        surplus = max(surplus, began - figure) if life else 0.0
        if life == _KILLS:
            break
        traffic = threading.Thread(target=asyncio.run, args=(_until_killed(proxy, life, spent),))
        traffic.start()
        time.sleep(1.0)
        figure = budget(proxy)["spent"]
        proxy.child.kill()
        proxy.wait()
        traffic.join()
    sheet.row(
        f"kill -9 in the midst of traffic of 10 clients, {_KILLS} times",
        f"whole answers worth {spent.known * _DOLLARS:.0f} in all",
        f"forgotten {max(0.0, lost) * _DOLLARS:.0f}; more than the last figure before a kill: at most "
        f"{surplus * _DOLLARS:.0f} ({surplus / max(spent.reserved, 1e-9):.0f} reservations)",
        holds=lost <= 0,
    )


async def _until_killed(proxy: Proxy, life: int, spent: Spent) -> None:
    while proxy.child.poll() is None:
        await spend(proxy, 20, 10, life, ["default", "slow", "unsaid"], spent)


def _full_disk(sheet: Sheet, lab: Lab, disk: Path) -> None:
    demo = lab.demo()
    with small_disk(disk) as on_disk:
        made = config_of(demo, {"amount": 1000, "per": "all"}, costs=False)
        made["access"] = {"store": str(disk / "access.sqlite")}
        proxy = lab.proxy(made)
        ask(proxy, chat(max_tokens=MAX_TOKENS))
        settled(proxy)
        with full(proxy, disk / "access-budgets.sqlite", on_disk):
            eventually(lambda: ask(proxy, chat(max_tokens=9000)).status == 503, "it refuses")
            before = demo.stats()["total"]
            statuses = {ask(proxy, chat(max_tokens=MAX_TOKENS)).status for _ in range(50)}
            sent = demo.stats()["total"] - before
            time.sleep(2.5)
            told = len([line for line in proxy.output if "cannot be written down" in line and "ERROR" in line])
        began = time.monotonic()
        eventually(lambda: ask(proxy, chat(max_tokens=MAX_TOKENS)).status == 200, "it is back")
        back = time.monotonic() - began
        what = "a disk of 512 KB is full" if on_disk else "the process may write no more (RLIMIT_FSIZE)"
        sheet.row(
            f"{what}: 50 requests",
            f"{', '.join(map(str, sorted(statuses)))}; answered {back:.1f} s after there is space",
            f"{sent}; told {told} time in the log",
            holds=statuses == {503} and sent == 0 and told == 1 and back < 5,
        )
        proxy.stop()
