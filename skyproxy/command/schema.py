"""``skyproxy schema``: the JSON Schema of the configuration."""

from __future__ import annotations

import click


@click.command(short_help="Print the JSON Schema of the configuration, for editors.")
@click.option("--markdown", is_flag=True, help="Print the reference of all options in place of the schema.")
def schema(markdown: bool) -> None:
    """Print the JSON Schema of skyproxy.yaml, which editors complete and check by.

    Save it, and name the file in the first line of skyproxy.yaml: # yaml-language-server: $schema=skyproxy.schema.json
    """
    from skyproxy.config.json_schema import schema_text
    from skyproxy.config.reference import reference

    click.echo(reference() if markdown else schema_text(), nl=False)
