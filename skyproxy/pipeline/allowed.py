"""What a client may ask for."""

from __future__ import annotations

from skyproxy.access.identity import ClientIdentity
from skyproxy.access.refusals import model_not_allowed
from skyproxy.pipeline.router import Router


def check_allowed(router: Router, model: str, identity: ClientIdentity) -> None:
    """See that the client, which may not ask for everything, may ask for what serves *model*.

    What stands behind a slot, its fallbacks, is for the configuration to say. A client that may not ask for everything
    hears nothing of what else there is.

    :raise ModelNotAllowed: it may not, or there is no such model.
    """
    served = router.served_as(model)
    if served is None or not identity.may_ask_for(served):
        raise model_not_allowed(model, [name for name in router.model_ids() if identity.may_ask_for(name)])
