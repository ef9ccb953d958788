"""A provider without a model: an OpenAI-compatible server that answers as a guard would, with faults on demand.

It depends on nothing else of skyproxy. :mod:`skyproxy.demo.faults` tells what can be asked of it by the model's name.
"""

from __future__ import annotations

from skyproxy.demo.server import Demo

__all__ = ["Demo"]
