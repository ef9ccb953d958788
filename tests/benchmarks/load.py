"""The load generators wrk and autocannon."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.traffic import PATH, REQUEST

_MARK = "measured:"

_REST = 1.0
"""Seconds after each run, in which a server sees to what the load generator has left behind: as many requests under way
as it had connections.
"""

_AGENT = f"""\
wrk.method = "POST"
wrk.body = io.open(os.getenv("BENCHMARK_BODY"), "rb"):read("*a")
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer x"
function init(args)
  for i = 1, #args, 2 do wrk.headers[args[i]] = args[i + 1] end
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{_MARK} {{"requests": %d, "seconds": %f, "mean": %f, "p50": %f, "p99": %f, "status": %d, "socket": %d}}\\n',
    summary.requests, summary.duration / 1e6, latency.mean / 1e3, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one measurement gave.

    :ivar rate: answers of status below 400 a second.
    :ivar mean: milliseconds from request to answer; so are the next two.
    :ivar answers: of any status.
    :ivar refused: answers of another status.
    :ivar broken: connections that failed, and requests without an answer.
    """

    rate: float
    mean: float
    p50: float
    p99: float
    answers: int
    refused: int
    broken: int


class WrongOutput(Exception):
    """A load generator did not say what it was to say."""


def parse_wrk(output: str) -> Load:
    """What the script's ``done`` wrote.

    :raise WrongOutput: it did not.
    """
    for line in output.splitlines():
        if line.startswith(_MARK):
            told = json.loads(line[len(_MARK) :])
            good = told["requests"] - told["status"]
            times = told["mean"], told["p50"], told["p99"]
            return Load(good / told["seconds"], *times, told["requests"], told["status"], told["socket"])
    raise WrongOutput(output)


def parse_autocannon(output: str) -> Load:
    """What ``autocannon --json`` wrote.

    :raise WrongOutput: it is no such thing.
    """
    try:
        told = json.loads(output)
        latency: Mapping[str, Any] = told["latency"]
        return Load(
            told["2xx"] / told["duration"],
            latency["average"],
            latency["p50"],
            latency["p99"],
            told["2xx"] + told["non2xx"],
            told["non2xx"],
            told["errors"] + told["timeouts"],
        )
    except (ValueError, KeyError) as error:
        raise WrongOutput(output) from error


def middle(loads: Sequence[Load]) -> Load:
    """The median of each figure; answers and failures are summed."""
    return Load(
        median(each.rate for each in loads),
        median(each.mean for each in loads),
        median(each.p50 for each in loads),
        median(each.p99 for each in loads),
        sum(each.answers for each in loads),
        sum(each.refused for each in loads),
        sum(each.broken for each in loads),
    )


class Wrk:
    """wrk with one thread.

    :param folder: for its script.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._script = folder / "request.lua"
        self._script.write_text(_AGENT)
        self._body = folder / "request.json"
        self._body.write_text(REQUEST)

    def run(
        self, port: int, connections: int, seconds: float, path: str = PATH, headers: Mapping[str, str] | None = None
    ) -> Load:
        """Ask again and again on so many *connections*.

        :raise WrongOutput: wrk failed.
        """
        command = [self._program, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "20s"]
        more = [each for pair in (headers or {}).items() for each in pair]
        command += ["-s", str(self._script), f"http://127.0.0.1:{port}{path}", "--", *more]
        env = {"BENCHMARK_BODY": str(self._body), "PATH": ""}
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=seconds + 60)
        time.sleep(_REST)
        return parse_wrk(done.stdout + done.stderr)


def autocannon(program: str, port: int, connections: int, seconds: float) -> Load:
    """The same by autocannon.

    :raise WrongOutput: it failed.
    """
    command = [program, "-c", str(connections), "-d", str(max(1, round(seconds))), "--json", "--no-progress"]
    command += ["-m", "POST", "-H", "Content-Type: application/json", "-b", REQUEST, f"http://127.0.0.1:{port}{PATH}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
    return parse_autocannon(done.stdout)
