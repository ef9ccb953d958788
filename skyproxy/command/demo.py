"""``skyproxy demo``: a provider without a model, that fails as it is told to."""

from __future__ import annotations

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    short_help="Serve a provider without a model, for tries.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> None:
    """Serve an OpenAI-compatible provider without a model, for tries (--help tells its options)."""
    from skyproxy.demo.__main__ import main

    raise SystemExit(main(arguments, "skyproxy demo"))
