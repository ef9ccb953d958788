"""Measures skyproxy beside what else could carry the traffic: ``python -m tests.benchmarks``. No test; Linux only."""
