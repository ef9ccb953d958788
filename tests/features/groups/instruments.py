"""The instruments against what the provider counted."""

from __future__ import annotations

from tests.e2e.test_instruments import Samples, answers_of, metrics, mix, requests_of, start_both, stats
from tests.features.lab import Lab
from tests.features.seen import listed


def show(lab: Lab) -> None:
    """Something of everything, and then both sides' counts."""
    demo, proxy = start_both(lab.start)
    mix(proxy, demo)
    found, upstream, told = metrics(proxy), demo.stats(), stats(proxy)
    sheet = lab.sheet(
        "Instruments",
        "After a mix of whole answers, streams, errors, a cut, a reset, cancellations, refusals and nonsense. "
        "/metrics is read by prometheus_client's parser.",
    )
    requests = requests_of(found)
    outcomes: dict[str, int] = {}
    for (outcome, provider, _), count in requests.items():
        if provider == "demo":
            outcomes[outcome] = outcomes.get(outcome, 0) + count
    sent = sum(outcomes.values()) - outcomes["refused"]
    holds = sent == upstream["total"]
    sheet.row("skyproxy_requests_total", f"{sent} sent on ({listed(outcomes)})", f"{upstream['total']}", holds=holds)
    holds = outcomes["cancelled"] == upstream["cancelled"]
    sheet.row("... of these cancelled", str(outcomes["cancelled"]), str(upstream["cancelled"]), holds=holds)
    codes = {code: count for code, count in answers_of(found).items() if code.isdigit()}
    holds = codes == upstream["by_status"]
    sheet.row("skyproxy_upstream_answers_total", _sorted(codes), _sorted(upstream["by_status"]), holds=holds)
    held = {name: int(_only(found, name)) for name in ("permits_in_use", "queue_depth")}
    held["busy connections"] = int(found["pool_connections"]["demo", "busy"])
    holds = not any(held.values()) and upstream["active"] == 0
    sheet.row("what is held when all is over", _sorted(held), f"{upstream['active']} under way", holds=holds)
    nobody = requests["client_error", "none", "none"]
    slots = {labels[2] for labels in requests}
    holds = nobody == 60 and slots <= {"combat", "default", "direct", "none"}
    sheet.row("30 unknown models and 30 broken bodies", f"{nobody} under the label none", "none of them", holds=holds)
    measured = int(sum(found["request_duration_seconds_count"].values()))
    holds = measured == outcomes["ok"] == told["providers"]["demo"]["latency"]["count"]
    sheet.row(
        "skyproxy_request_duration_seconds", f"{measured} measured", f"{outcomes['ok']} answered well", holds=holds
    )
    responses = answers_of(found)
    holds = told["providers"]["demo"]["outcomes"] == outcomes and told["providers"]["demo"]["responses"] == responses
    sheet.row("/api/stats", "the same outcomes and answers" if holds else "others", "-", holds=holds)


def _only(found: Samples, name: str) -> float:
    return found[name]["demo",]


def _sorted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()))
