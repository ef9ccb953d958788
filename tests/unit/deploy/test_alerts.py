"""The alerts and the dashboard of ``skyproxy deploy``; with real proxies they are in tests/e2e/test_prometheus.py."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from shutil import rmtree, which
from tempfile import mkdtemp
from typing import Any
from unittest import SkipTest

import yaml
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.deploy import contents
from skyproxy.web.metrics.aliases import OLD_NAMES
from tests.unit.web.test_figures import InstrumentCase

ALERTS = contents("alerts.yaml").decode()
DASHBOARD: Any = json.loads(contents("grafana.json"))
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS)["groups"][0]["rules"]

Series = dict[str, str]

_ENDED = 'skyproxy_requests_total{job="skyproxy",instance="a",slot="talk",outcome="%s"}'
_SENTENCES = 'skyproxy_slot_time_to_first_sentence_seconds_%s{job="skyproxy",instance="a",slot="talk"%s}'
_LAG = 'skyproxy_event_loop_lag_seconds_bucket{job="skyproxy",instance="a",le="%s"}'
_OF = '{job="skyproxy",instance="a",provider="demo"}'

SERIES: dict[str, tuple[Series, Series]] = {
    "SkyproxyDown": ({'up{job="skyproxy",instance="a"}': "0x90"}, {'up{job="skyproxy",instance="a"}': "1x90"}),
    "SkyproxyRequestsFail": (
        {_ENDED % "ok": "0+2x90", _ENDED % "failed": "0+1x90"},
        {_ENDED % "ok": "0+40x90", _ENDED % "failed": "0+1x90", _ENDED % "cancelled": "0+9x90"},
    ),
    "SkyproxySlowFirstSentence": tuple(
        {
            _SENTENCES % ("bucket", ',le="5.0"'): fast,
            _SENTENCES % ("bucket", ',le="7.5"'): "0+1x90",
            _SENTENCES % ("bucket", ',le="+Inf"'): "0+1x90",
            _SENTENCES % ("count", ""): "0+1x90",
        }
        for fast in ("0x90", "0+1x90")
    ),
    "SkyproxyBreakerOpen": (
        {f"skyproxy_deployment_breaker_state{_OF}": "2 1 2 2 1" + " 2" * 90},
        # For a minute, and then it is well.
        {f"skyproxy_deployment_breaker_state{_OF}": "0" + " 0" * 57 + " 2 1 0" + " 0" * 40},
    ),
    "SkyproxyKeyRejected": (
        {f'skyproxy_upstream_answers_total{{status="401",{_OF[1:]}': "0x50 1x40"},
        {
            f'skyproxy_upstream_answers_total{{status="429",{_OF[1:]}': "0+1x90",
            f'skyproxy_key_rejected{{key="A",{_OF[1:]}': "0x90",
        },
    ),
    "SkyproxyRateLimited": (
        {f"skyproxy_deployment_cooldown_seconds{_OF}": "9 9 0 9" * 1 + " 9 9 0 9" * 20},
        {f"skyproxy_deployment_cooldown_seconds{_OF}": "0 0 20 0" + " 0 0 20 0" * 20},
    ),
    "SkyproxyQueueLong": (
        {f"skyproxy_queue_depth{_OF}": "9x90", f"skyproxy_queue_limit{_OF}": "10x90"},
        # Without a queue there is nothing that could be long.
        {f"skyproxy_queue_depth{_OF}": "0x90", f"skyproxy_queue_limit{_OF}": "0x90"},
    ),
    "SkyproxyRetryBudgetSpent": (
        {f"skyproxy_retry_budget_refused_total{_OF}": "0x55 5x40"},
        {f"skyproxy_retry_budget_refused_total{_OF}": "5x90"},
    ),
    "SkyproxyReloadFailed": (
        {f"skyproxy_config_last_reload_successful{_OF}": "0x90"},
        {f"skyproxy_config_last_reload_successful{_OF}": "1x90"},
    ),
    "SkyproxyEventLoopSlow": tuple(
        {_LAG % "0.1": fast, _LAG % "0.25": "0+300x90", _LAG % "+Inf": "0+300x90"} for fast in ("0+280x90", "0+299x90")
    ),
    "SkyproxyLogLinesLost": (
        {f"skyproxy_log_dropped_total{_OF}": "0x55 5x40"},
        {f"skyproxy_log_dropped_total{_OF}": "5x90"},
    ),
    "SkyproxyAlone": (
        {f"skyproxy_shared_limits_leased{_OF}": "0x90"},
        # For a moment, as at a restart of Redis.
        {f"skyproxy_shared_limits_leased{_OF}": "1x55 0 1x34"},
    ),
    "SkyproxyTracesLost": (
        {f'skyproxy_traces_lost_total{{reason="queue_full",{_OF[1:]}': "0x55 5x40"},
        {f'skyproxy_traces_lost_total{{reason="queue_full",{_OF[1:]}': "5x90"},
    ),
    "SkyproxySocketsRunShort": (
        {
            'process_open_fds{job="skyproxy",instance="a"}': "900x90",
            'process_max_fds{job="skyproxy",instance="a"}': "1000x90",
            'skyproxy_build_info{job="skyproxy",instance="a",version="1"}': "1x90",
        },
        # Another program's.
        {
            'process_open_fds{job="other",instance="a"}': "900x90",
            'process_max_fds{job="other",instance="a"}': "1000x90",
            'skyproxy_build_info{job="skyproxy",instance="a",version="1"}': "1x90",
        },
    ),
    "SkyproxyExpensive": (
        {f'skyproxy_cost_usd_total{{slot="talk",{_OF[1:]}': "0+0.2x90"},
        {f'skyproxy_cost_usd_total{{slot="talk",{_OF[1:]}': "0+0.02x90"},
    ),
}  # type: ignore[assignment]
"""By alert: series with which it fires, and others with which it does not, of a value every 30 s."""


def expressions() -> list[str]:
    """Those of the dashboard and of the alerts."""
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    return [
        *(target["expr"] for panel in panels for target in panel["targets"]),
        *(rule["expr"] for rule in RULES),
    ]


class MetricsOfDashboardAndAlertsTests(InstrumentCase):
    """Every metric that is used is there."""

    def test_they_are_there_and_none_is_old(self) -> None:
        self.everything()
        # Where limits are shared there is one more: see test_shared_limits.py.
        there = {name for name, _ in self.samples()} | {"skyproxy_shared_limits_leased"}
        text = "\n".join(expressions()).replace("${currency}", "usd")
        used = set(re.findall(r"\b(?:skyproxy|process|python)_[a-z0-9_]+", text))
        self.assertGreater(len(used), 40)
        self.assertEqual(used - there, set())
        old = {name + suffix for name in OLD_NAMES for suffix in ("", "_total", "_bucket", "_count", "_sum")}
        self.assertEqual(used & old, set())


class DashboardTests(SynchronousTestCase):
    def test_its_panels_do_not_lie_on_each_other(self) -> None:
        taken: set[tuple[int, int]] = set()
        for panel in DASHBOARD["panels"]:
            at = panel["gridPos"]
            self.assertLessEqual(at["x"] + at["w"], 24)
            cells = {
                (x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
            }  # fmt: skip
            self.assertFalse(taken & cells, panel["title"])
            taken |= cells
        ids = [panel["id"] for panel in DASHBOARD["panels"]]
        self.assertEqual(len(ids), len(set(ids)))

    def test_variables_are_those_that_it_has(self) -> None:
        known = {each["name"] for each in DASHBOARD["templating"]["list"]} | {"__rate_interval"}
        self.assertEqual(set(re.findall(r"\$\{?([a-z_]+)", json.dumps(DASHBOARD["panels"]))), known)


class AlertsTests(SynchronousTestCase):
    """As promtool sees them, with their own times."""

    def setUp(self) -> None:
        promtool = which("promtool")
        if promtool is None:
            raise SkipTest("there is no promtool: apt-get install prometheus")
        self.promtool = promtool
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        (self.folder / "alerts.yaml").write_text(ALERTS)

    def run_promtool(self, *arguments: str) -> None:
        done = subprocess.run([self.promtool, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_they_are_rules(self) -> None:
        self.run_promtool("check", "rules", "--lint-fatal", "alerts.yaml")

    def test_each_says_what_to_do(self) -> None:
        for rule in RULES:
            self.assertEqual(set(rule["annotations"]), {"summary", "action"})
            self.assertIn(rule["labels"]["severity"], ("warning", "critical"))

    def test_they_fire_and_are_quiet(self) -> None:
        self.assertEqual(set(SERIES), {rule["alert"] for rule in RULES})
        tests = [
            {
                "interval": "30s",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {
                        "expr": f'count by (alertname) (ALERTS{{alertstate="firing"{only}}})',
                        "eval_time": "30m",
                        "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1}] if fires else [],
                    }
                    for only in (f',alertname="{alert}"', "")
                ],
            }
            for alert, cases in SERIES.items()
            for fires, series in zip((True, False), cases, strict=True)
        ]
        given = {"rule_files": ["alerts.yaml"], "evaluation_interval": "30s", "tests": tests}
        (self.folder / "tests.yaml").write_text(yaml.safe_dump(given))
        self.run_promtool("test", "rules", "tests.yaml")
