"""Whether the file that is named for kept answers is skyproxy's to use."""

from __future__ import annotations

from skyproxy.util.own_database import Kind

ANSWERS = Kind(0x534B5943, "kept answers")
"""The files of kept answers ("SKYC")."""
