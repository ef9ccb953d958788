"""``skyproxy chat``: ask a slot, see the answer stream, and how long it took."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import click

from skyproxy.command.asking import Answer, NoAnswer, ask
from skyproxy.command.output import WRONG, fail, piped_lines, printable, seconds, show_json
from skyproxy.command.place import api_url, config_option, json_option, read_config, url_option
from skyproxy.config import Config
from skyproxy.telemetry.prices.prices import Prices
from skyproxy.telemetry.usage import cost_said, tokens_of

_LONG = 3.0
"""Seconds without a word, after which one is said about that."""

_OF_KEYS_AND_MODELS = (401, 402, 403, 404)


@click.command(short_help="Ask a slot, and show the answer as it comes.")
@click.argument("slot")
@click.argument("text", nargs=-1)
@config_option
@url_option
@click.option("--key", envvar="SKYPROXY_KEY", show_envvar=True, help="A client key, where skyproxy asks for one.")
@json_option
def chat(
    slot: str, text: tuple[str, ...], config: Path | None, url: str | None, key: str | None, as_json: bool
) -> None:
    """Ask SLOT for an answer to TEXT, and show it as it comes.

    Without TEXT it reads lines, and answers each, until the end of the input.
    """
    settings = None if url and config is None else read_config(config)
    where = api_url(url, settings)
    if text:
        raise SystemExit(0 if _turn(where, slot, " ".join(text), key, settings, as_json) else WRONG)
    _talk(where, slot, key, settings, as_json)


def _talk(where: str, slot: str, key: str | None, settings: Config | None, as_json: bool) -> None:
    good = True
    for line in _typed_lines() if sys.stdin.isatty() else piped_lines():
        if line.strip():
            good = _turn(where, slot, line.strip(), key, settings, as_json)
    raise SystemExit(0 if good else WRONG)


def _typed_lines() -> Iterator[str]:
    click.echo("> ", nl=False, err=True)
    while line := sys.stdin.readline():
        yield line
        click.echo("> ", nl=False, err=True)
    click.echo(err=True)


def _turn(where: str, slot: str, text: str, key: str | None, settings: Config | None, as_json: bool) -> bool:
    try:
        with _waiting():
            answer = ask(where, slot, text, key=key, heard=_ignore if as_json else _show)
    except NoAnswer as error:
        fail(str(error))
    except KeyboardInterrupt:
        click.echo(err=True)
        fail("interrupted before the end of the answer")
    if as_json:
        show_json(figures(answer, settings))
    else:
        if answer.text:
            click.echo()
        click.echo(printable(_summary(answer, settings), keep="\n"), err=True)
    return answer.problem is None


@contextmanager
def _waiting() -> Iterator[None]:
    """Say to who sits before a terminal that nothing has come yet, if that takes long."""
    if not sys.stderr.isatty():
        yield
        return
    telling = Timer(_LONG, lambda: click.echo(f"(still waiting after {_LONG:g} s; Ctrl-C stops it)", err=True))
    telling.daemon = True
    telling.start()
    try:
        yield
    finally:
        telling.cancel()


def _ignore(said: str) -> None:
    """It is shown in the end."""


def _show(said: str) -> None:
    # A model may write what moves the cursor of a terminal, and more.
    click.echo(printable(said, keep="\n\t"), nl=False)


def figures(answer: Answer, settings: Config | None) -> dict[str, Any]:
    """*answer* as JSON: times in seconds."""
    headers = answer.headers or {}
    amount = _cost(answer, settings)
    return {
        "status": answer.status,
        "text": answer.text,
        "error": answer.problem,
        "first_token": answer.first_token,
        "first_sentence": answer.first_sentence,
        "whole": answer.whole,
        "tokens": answer.tokens,
        "tokens_per_second": answer.tokens_per_second,
        "provider": headers.get("x-skyproxy-provider"),
        "model": headers.get("x-skyproxy-model"),
        "request_id": headers.get("x-request-id"),
        "cost": None if amount is None else {"amount": amount[0], "currency": amount[1]},
    }


def _summary(answer: Answer, settings: Config | None) -> str:
    headers = answer.headers or {}
    if answer.problem is not None:
        return _failure(answer, settings)
    parts = [
        f"first token {seconds(answer.first_token)}",
        f"first sentence {seconds(answer.first_sentence)}",
        f"whole {seconds(answer.whole)}",
    ]
    if answer.tokens_per_second is not None:
        parts.append(f"{answer.tokens_per_second:.1f} tokens/s")
    provider, model = headers.get("x-skyproxy-provider"), headers.get("x-skyproxy-model")
    if provider:
        parts.append(f"by {provider}:{model}" if model else f"by {provider}")
    amount = _cost(answer, settings)
    if amount is not None:
        parts.append(f"{amount[0]:.6f} {amount[1]}")
    if headers.get("x-skyproxy-demo"):
        parts.append("this is the demo, no provider was asked")
    return ", ".join(parts)


def _failure(answer: Answer, settings: Config | None) -> str:
    headers = answer.headers or {}
    request = headers.get("x-request-id", "-")
    what = "broke off" if answer.text else f"failed (status {answer.status})" if answer.error else "no good"
    lines = [f"{what}: {answer.problem}"]
    if answer.status in _OF_KEYS_AND_MODELS and headers.get("x-skyproxy-provider"):
        lines.append("Type: skyproxy check --live   (it tests keys and models)")
    logged = settings is not None and settings.proxy.log_file is not None and request != "-"
    lines.append(f"request {request}" + (f"   (skyproxy logs --request {request})" if logged else ""))
    return "\n".join(lines)


def _cost(answer: Answer, settings: Config | None) -> tuple[float, str] | None:
    """What it cost: as the provider says, or else by ``prices:`` or the table."""
    usage, headers = answer.usage or {}, answer.headers or {}
    provider, model = headers.get("x-skyproxy-provider"), headers.get("x-skyproxy-model")
    known = None if settings is None or provider is None else settings.providers.get(provider)
    dialect = "openai" if known is None else known.dialect
    said = cost_said(usage, dialect)
    if said is not None:
        return said, "USD"
    if settings is None or provider is None or model is None:
        return None
    tokens = tokens_of(usage, dialect)
    if tokens is None:
        return None
    cost = Prices(settings.prices, settings.providers).cost(provider, model, tokens)
    return None if cost.amount is None else (cost.amount, cost.currency)
