"""Parsers under any bytes: what must hold of each, for hypothesis (tests/unit) and for long runs (``python -m
tests.fuzz``)."""
