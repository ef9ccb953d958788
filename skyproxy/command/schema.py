"""``skyproxy schema``: the JSON Schema of the configuration."""

from __future__ import annotations

import click


@click.command()
@click.option("--markdown", is_flag=True, help="Print the reference of all options in place of the schema.")
def schema(markdown: bool) -> None:
    """Print the JSON Schema of skyproxy.yaml, which editors complete and check by.

    Save it, and name the file in the first line of skyproxy.yaml: # yaml-language-server: $schema=skyproxy.schema.json
    """
    from skyproxy.command.output import show_json
    from skyproxy.config.json_schema import json_schema
    from skyproxy.config.reference import reference

    if markdown:
        click.echo(reference(), nl=False)
    else:
        show_json(json_schema())
