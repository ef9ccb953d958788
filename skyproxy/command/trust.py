"""Whom the commands trust when they ask over https: those whom skyproxy trusts when it asks providers."""

from __future__ import annotations

import ssl


def trust_for(url: str) -> ssl.SSLContext | None:
    """The authorities for *url*; None: it is not one of https."""
    if url[:6].casefold() != "https:":
        return None
    # It takes a while to import.
    from skyproxy.http.client.trust import Roots

    return Roots().context()
