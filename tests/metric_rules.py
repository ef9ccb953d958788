"""The rules that Prometheus has for names of metrics, as far as a program can tell whether they are kept.

https://prometheus.io/docs/practices/naming/ and https://prometheus.io/docs/instrumenting/writing_exporters/
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from math import inf

from prometheus_client import parser
from prometheus_client.metrics_core import Metric

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_PREFIXES = ("skyproxy_", "process_", "python_")

_NOT_BASE_UNITS = frozenset(
    {
        "milliseconds", "ms", "microseconds", "us", "nanoseconds", "ns", "minutes", "hours", "days", "weeks", "bits",
        "kilobytes", "kb", "megabytes", "mb", "gigabytes", "gb", "percent", "percentage", "fahrenheit", "meters",
    }
)  # fmt: skip
_UNITS = ("seconds", "bytes", "ratio")
_TYPES = frozenset({"counter", "gauge", "histogram", "summary", "metric", "map", "vector", "set", "list"})
_SUFFIXES = ("_total", "_count", "_sum", "_bucket", "_created", "_info")
_RESERVED = frozenset({"le", "quantile", "job", "instance"})


def broken_rules(page: str, old: Collection[str] = ()) -> list[str]:
    """What is wrong with *page*, metrics in Prometheus' text format.

    :param old: names that stand beside better ones for a while, and so need not be good.
    """
    # The parser adds the suffix where it is missing.
    counters = re.findall(r"^# TYPE (\S+) counter$", page, re.MULTILINE)
    broken = [f"{name}: a counter without _total" for name in counters if not name.endswith("_total")]
    seen = set()
    for family in parser.text_string_to_metric_families(page):
        if family.name in seen:
            broken.append(f"{family.name}: its samples are not together")
        seen.add(family.name)
        broken.extend(f"{family.name}: {each}" for each in _of_values(family))
        if family.name not in old:
            broken.extend(f"{family.name}: {each}" for each in (*_of_name(family), *_of_labels(family)))
    return broken


def _of_name(family: Metric) -> Iterator[str]:
    # The parser takes `_total` from the names of counters.
    name, words = family.name, family.name.split("_")
    if not _NAME.fullmatch(name) or not name.startswith(_PREFIXES):
        yield "not in snake case behind the name of what it is of"
    if name.startswith(("process_", "python_")):
        return  # These are the same for all clients of Prometheus.
    if found := _NOT_BASE_UNITS.intersection(words):
        yield f"{min(found)} is no base unit"
    if found := _TYPES.intersection(words):
        yield f"its type, {min(found)}, is in its name"
    if family.type == "histogram":
        if not name.endswith(_UNITS):
            yield "a histogram without a unit"
    elif family.type != "counter" and name.endswith(tuple(each for each in _SUFFIXES if each != "_info")):
        yield f"a {family.type} with the suffix of another type"
    if family.type == "unknown":
        yield "without a type"
    for unit in _UNITS:
        if unit in words and words[-1] != unit:
            yield f"its unit, {unit}, is not at the end"
    if not family.documentation.endswith(".") or len(family.documentation) < 10:
        yield "its help is no sentence"


def _of_labels(family: Metric) -> Iterator[str]:
    names = set()
    for sample in family.samples:
        own = {"le"} if sample.name.endswith("_bucket") and family.type == "histogram" else set()
        labels = frozenset(sample.labels) - own
        names.add(labels)
        for label in labels:
            if not _NAME.fullmatch(label) or label in _RESERVED or label in _TYPES:
                yield f"a label cannot be called {label}"
            if label in family.name.removeprefix("skyproxy_").split("_")[-1:]:
                yield f"the label {label} is in its name"
        if any(not value for value in sample.labels.values()):
            yield "a label without a value is as none"
    if len(names) > 1:
        yield "its samples have different labels"


def _of_values(family: Metric) -> Iterator[str]:
    seen = set()
    for sample in family.samples:
        key = sample.name, tuple(sorted(sample.labels.items()))
        if key in seen:
            yield f"{key} is there twice"
        seen.add(key)
        if family.type == "counter" and sample.value < 0:
            yield "a counter below 0"
    if family.type != "histogram":
        return
    series: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
            series.setdefault(labels, []).append((float(sample.labels["le"]), sample.value))
    for buckets in series.values():
        bounds, counts = zip(*buckets, strict=True)
        if list(bounds) != sorted(bounds) or bounds[-1] != inf or list(counts) != sorted(counts):
            yield "its buckets do not add up"
