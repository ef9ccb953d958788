"""A provider without a model: an OpenAI-compatible server that answers as a guard would.

It gives faults on demand: :mod:`skyproxy.demo.faults` tells what can be asked of it by the model's name. It
depends on nothing else of skyproxy.
"""

from __future__ import annotations

from skyproxy.demo.server import Demo

__all__ = ["Demo"]
