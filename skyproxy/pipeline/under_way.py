"""What is known of a request that is not over."""

from __future__ import annotations

from skyproxy.pipeline.context import RequestContext
from skyproxy.telemetry.requests.facts import Facts, attempts_of, since, steps_of
from skyproxy.telemetry.requests.ring import agent_of, host_of

_LONGEST_NAME = 200
"""Characters of a model's name, which a client may have made as long as it likes."""


def facts_under_way(context: RequestContext, now: float, wall: float) -> Facts:
    """What is known of *context*.

    :param now: the time, on the process's clock.
    :param wall: the time of day, seconds since the epoch.
    """
    attempts, started, client, sharing = context.attempts, context.started, context.client, context.sharing
    address, agent = client.who
    candidate = attempts.current
    last = attempts.sendings[-1] if attempts.sendings else None
    answered = attempts.answered
    return Facts(
        number=0,
        request_id=context.request.request_id,
        arrived=wall - (now - started),
        slot=None if candidate is None else attempts.candidates[0].slot,
        model=context.model[:_LONGEST_NAME],
        endpoint=context.request.endpoint.path,
        client=host_of(address) if context.request.identity is None else context.request.identity.name,
        agent=agent_of(agent),
        stream=context.streaming,
        outcome=None,
        status=client.status,
        error_code=None,
        error="",
        provider=None if candidate is None else candidate.provider.name,
        upstream_model=None if candidate is None else candidate.model[:_LONGEST_NAME],
        key=None if last is None else last.key,
        cache=None if sharing is None else sharing.result,
        tokens=None,
        cost=None,
        currency="USD",
        price_source=None,
        hedge_cost=None,
        seconds=now - started,
        queue=0.0 if last is None else last.waited,
        bytes_out=client.bytes_out,
        first_token=since(client.first_byte_at, started) if context.streaming else None,
        first_sentence=None if answered is None else since(answered.sentence_at, started),
        follows=None if sharing is None else sharing.follows,
        age=None if sharing is None else sharing.age,
        deployments=tuple((provider, model[:_LONGEST_NAME]) for provider, model in attempts.deployments()),
        attempts=attempts_of(attempts, started),
        steps=steps_of(attempts, started),
    )
