"""Upgrade without loss: a new process takes over the listening sockets, and only then does the old one drain and end.

::

    old process                                new process
    starts it ───────── hello, sockets ──────▶ reads the configuration, listens, accepts nobody yet
                ◀────── began, ready ───────── could serve
    accepts nobody any more
                ─────── go ──────────────────▶ accepts; the pid file and the locks are its own
                ◀────── taken ────────────────
    lets go of the sockets, drains, ends

At each moment one process at most accepts, and clients wait in the kernel's queue for an instant where none does. Until
it hears ``taken`` the old process can go on as it was, and does so if the new one fails, or says nothing.
"""

VARIABLE = "SKYPROXY_UPGRADE"
"""Of the environment: the descriptor at which the new process hears the old one."""
