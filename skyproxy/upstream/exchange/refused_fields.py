"""Fields that skyproxy adds to a body, and that a model is known not to take."""

from __future__ import annotations

import re

from twisted.logger import Logger

from skyproxy.formats.dialects import REASONING_FIELDS
from skyproxy.upstream.exchange.upstream_request import UpstreamRequest
from skyproxy.upstream.guards.deployments import Deployment

_log = Logger()


def without_refused(request: UpstreamRequest, deployment: Deployment) -> UpstreamRequest:
    """*request* without the added fields that its model is known not to take."""
    refused = deployment.refused & request.added
    return request.without(refused) if refused else request


def refuse_field(
    request: UpstreamRequest, deployment: Deployment, parameter: str | None, provider: str
) -> UpstreamRequest | None:
    """*request* without *parameter*, which the model does not take; from now on the model gets none.

    One that switches reasoning in another dialect stands for those that do so in this one.

    :param provider: its name, for the log.
    :return: None where *parameter* is none of the fields that skyproxy added.
    """
    name = re.split(r"[.\[]", parameter or "", maxsplit=1)[0]
    names = request.added & {name}
    if name in REASONING_FIELDS.difference(request.fields or ()):
        names = request.added
    if not names:
        return None
    if not names <= deployment.refused:
        deployment.refused |= names
        _log.warn(
            "The model does not take what skyproxy adds to switch reasoning; it is left out from now on",
            provider=provider,
            model=request.model,
            fields=sorted(names),
        )
    return request.without(names)
