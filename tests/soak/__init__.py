"""The faults to survive, one after the other, on real processes: see ``python -m tests.soak --help``."""
