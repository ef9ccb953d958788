"""What the log says when the process serves."""

from __future__ import annotations

from twisted.logger import Logger

from skyproxy.pipeline.proxy import Runtime

_log = Logger()


def announce(runtime: Runtime, base_url: str, where: str) -> None:
    """Say where the API is, and what to type to try it.

    :param where: the API, for curl.
    """
    models = runtime.router.model_ids()
    model = models[0] if models else f"{next(iter(runtime.config.providers))}:MODEL"
    _log.info("skyproxy listens at {base_url}", base_url=base_url)
    _log.info("Configuration: {source}", source=runtime.config.source)
    _log.info(
        "Try: {command}",
        command=f"curl -N {where}/chat/completions -H 'Content-Type: application/json' "
        f'-d \'{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"Who goes there?"}}]}}\'',
    )
