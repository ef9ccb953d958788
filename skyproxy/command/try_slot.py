"""``skyproxy try``: ask a slot again and again, and show percentiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from skyproxy.command.asking import Answer, NoAnswer, ask
from skyproxy.command.output import WRONG, fail, printable, seconds, show_json, table
from skyproxy.command.place import api_url, config_option, json_option, read_config, url_option
from skyproxy.util.percentile import percentile

_SHOWN = (50, 90, 99)

_SETTLED = (400, 401, 402, 404)
"""Statuses that another request would meet as well: of names, keys and accounts."""

_WHAT = {"first token": "first_token", "first sentence": "first_sentence", "whole answer": "whole"}


@click.command("try", short_help="Ask a slot several times, and show how long it took.")
@click.argument("slot")
@click.option(
    "--n", "-n", "number", type=click.IntRange(1, 10_000), default=10, show_default=True, help="The number of requests."
)
@click.option("--text", default="Who goes there?", show_default=True, help="What to ask.")
@config_option
@url_option
@click.option("--key", envvar="SKYPROXY_KEY", show_envvar=True, help="A client key, where skyproxy asks for one.")
@json_option
def try_slot(
    slot: str, number: int, text: str, config: Path | None, url: str | None, key: str | None, as_json: bool
) -> None:
    """Ask SLOT several times, one after the other, and show how long that took."""
    where = api_url(url, None if url and config is None else read_config(config))
    answers: list[Answer] = []
    try:
        for count in range(number):
            answers.append(ask(where, slot, text, key=key))
            if not as_json:
                click.echo(f"{count + 1}/{number}  {_line(answers[-1])}", err=True)
            if answers[-1].status in _SETTLED:
                break
    except NoAnswer as error:
        fail(str(error))
    except KeyboardInterrupt:
        if not answers:
            fail("interrupted before the first answer")
        click.echo(f"interrupted after {len(answers)} of {number}", err=True)
    good = [each for each in answers if each.problem is None]
    if as_json:
        show_json(_figures(answers, good))
    else:
        if good:
            click.echo(_table(good))
        settled = "; not asked again, for the answer would be the same" if answers[-1].status in _SETTLED else ""
        click.echo(f"{len(good)} of {len(answers)} answers were good{settled}")
    raise SystemExit(0 if len(good) == len(answers) else WRONG)


def _line(answer: Answer) -> str:
    return (
        printable(answer.problem or "") or f"first token {seconds(answer.first_token)}, whole {seconds(answer.whole)}"
    )


def _times(answers: Sequence[Answer], name: str) -> list[float]:
    return [value for each in answers if (value := getattr(each, name)) is not None]


def _table(answers: Sequence[Answer]) -> str:
    rows = [
        [what, *(seconds(percentile(sorted(_times(answers, name)), share)) for share in _SHOWN)]
        for what, name in _WHAT.items()
    ]
    return table(["", *(f"p{share}" for share in _SHOWN)], rows)


def _figures(answers: Sequence[Answer], good: Sequence[Answer]) -> dict[str, Any]:
    return {
        "requests": len(answers),
        "good": len(good),
        "errors": [each.problem for each in answers if each.problem is not None],
        **{
            name: {f"p{share}": percentile(sorted(_times(good, name)), share) for share in _SHOWN}
            for name in _WHAT.values()
        },
    }
