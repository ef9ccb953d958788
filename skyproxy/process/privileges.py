"""The user that the process is to serve as, where twistd is to give up the privileges that it was started with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Owner = tuple[int, int]
"""Numbers of a user and a group; -1 leaves as it is."""


def owner_of(twistd: Mapping[str, Any]) -> Owner | None:
    """Who *twistd*'s options say the process is to become; None: it stays who it is."""
    user, group = twistd.get("uid"), twistd.get("gid")
    if user is None and group is None:
        return None
    if user is not None and group is None:
        import pwd

        group = pwd.getpwuid(user).pw_gid
    return -1 if user is None else user, -1 if group is None else group


@contextmanager
def acting_as(owner: Owner | None) -> Iterator[None]:
    """Do what happens in it as *owner*, as far as the process may become somebody else at all."""
    if owner is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        yield
        return
    user, group = owner
    before = os.geteuid(), os.getegid()
    if group >= 0:
        os.setegid(group)
    if user >= 0:
        os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(before[0])
        os.setegid(before[1])
