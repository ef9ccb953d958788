"""What the log says when the process serves."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

from twisted.logger import Logger

from skyproxy.pipeline.proxy import Runtime

_log = Logger()


def announce(runtime: Runtime, base_url: str, where: str, *, with_key: bool = False) -> None:
    """Say where the API is, and what to type to try it.

    :param where: the API, for curl.
    :param with_key: whether requests need a client's key.
    """
    models = runtime.router.model_ids()
    model = models[0] if models else f"{next(iter(runtime.config.providers))}:MODEL"
    _log.info("skyproxy listens at {base_url}", base_url=base_url)
    _log.info("Configuration: {source}", source=runtime.config.source)
    _log.info("Try: {command}", command=curl(where, model, windows=sys.platform == "win32", with_key=with_key))


def curl(where: str, model: str, *, windows: bool, with_key: bool = False) -> str:
    """A line that asks *model* for a stream: for a POSIX shell, or for Windows' cmd, which knows double quotes only.

    :param where: the API, as words for curl.
    """
    messages = [{"role": "user", "content": "Who goes there?"}]
    body = json.dumps({"model": model, "stream": True, "messages": messages}, separators=(",", ":"))
    key = ["-H", "Authorization: Bearer KEY"] if with_key else []
    words = [*key, "-H", "Content-Type: application/json", "-d", body]
    quoted = subprocess.list2cmdline(words) if windows else shlex.join(words)
    return f"curl -N {where}/chat/completions {quoted}"
