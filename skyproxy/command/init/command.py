"""The command line of ``skyproxy init``."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click

from skyproxy.command.init.importing import NotImported, imported
from skyproxy.command.init.models import NoModels, local_servers, models_of
from skyproxy.command.init.writing import CONFIG, KEYS, SCHEMA, Chosen, Exists, config_text, env_text, write
from skyproxy.command.output import fail, piped_key, table
from skyproxy.config import rules
from skyproxy.config.files import find, user_folder
from skyproxy.config.json_schema import schema_text
from skyproxy.config.known import BY_NAME, CLOUD, Known, of_key, propose, trouble_with
from skyproxy.config.placement import of_rights
from skyproxy.util.user_folders import place_for_others, user_home


@click.command()
@click.option(
    "--provider", type=click.Choice([each.name for each in CLOUD]), help="The provider to use; else you are asked."
)
@click.option("--key-stdin", is_flag=True, help="Read the provider's key from the standard input.")
@click.option("--local/--no-local", "local", default=True, help="Look for servers on this machine.", show_default=True)
@click.option("--base-url", help="The provider's address, in place of its usual one.")
@click.option("--import", "source", type=click.Path(path_type=Path), help="LiteLLM's or the original proxy's files.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    help="The folder to write to, in place of your own for configurations.",
)
@click.option("--yes", "-y", is_flag=True, help="Ask nothing.")
def init(
    provider: str | None, key_stdin: bool, local: bool, base_url: str | None, source: Path | None,
    folder: Path | None, yes: bool,
) -> None:  # fmt: skip
    """Write a configuration: skyproxy.yaml, and .env with the keys. A file that is there already is never replaced."""
    folder = folder if folder is not None else _own_folder()
    if source is not None:
        _import(source, folder)
        return
    _refuse_to_replace(folder / CONFIG)
    ask = not yes and sys.stdin.isatty()
    key = piped_key() if key_stdin else None
    if key == "":
        fail("no key came: pipe it into the standard input, on one line")
    chosen, keys = _cloud(provider, key, base_url, folder, ask=ask)
    others = _local() if local else []
    if chosen is None and not others:
        fail(
            "nothing to write: no provider was named, and no server was found on this machine (Ollama, LM Studio, "
            "llama.cpp, KoboldCpp). Type: skyproxy init --provider openrouter --key-stdin --yes"
        )
    main, *rest = ([chosen] if chosen is not None else []) + others
    _show(main, rest)
    if ask and not click.confirm(f"Write {folder / CONFIG}?", default=True):
        raise SystemExit(1)
    _write(folder, {CONFIG: config_text(main, rest), **({KEYS: env_text(keys)} if keys else {})})


def _own_folder() -> Path:
    """Where ``skyproxy run`` looks, wherever it is started."""
    folder = user_folder(os.environ, user_home())
    if folder is None:
        fail("nobody knows where your configuration folder is: name one with --dir")
    return folder


def _refuse_to_replace(path: Path) -> None:
    try:
        there = path.exists()
    except OSError as error:
        fail(f"{path} cannot be looked at ({error.strerror}): have its owner open the folder, or name another by --dir")
    if there:
        fail(f"{path} is there already, and is not replaced: edit it, or choose another folder with --dir")


def _cloud(
    name: str | None, key: str | None, base_url: str | None, folder: Path, *, ask: bool
) -> tuple[Chosen | None, dict[str, str]]:
    """The provider in the cloud, and its key; none if nobody names one."""
    if name is None and key:
        found = of_key(key)
        if found is None:
            fail("whose key is that? Name its provider: --provider openrouter")
        name = found.name
        click.echo(f"That is a key of {found.title}.")
    if name is None and ask:
        name = _ask_for_provider()
    if name is None:
        return None, {}
    known = _at(BY_NAME[name], base_url)
    # Before the key is typed, which could not be written.
    _refuse_to_replace(folder / KEYS)
    key = key or _key_of(known, ask=ask)
    trouble = trouble_with(key, known)
    if trouble is not None:
        fail(f"the key cannot be used: {trouble}")
    models = _models(known, key)
    return Chosen(known, propose(known, models)), {known.variable or "": key}


def _at(known: Known, base_url: str | None) -> Known:
    if base_url is None:
        return known
    try:
        return replace(known, base_url=rules.base_url(base_url.strip()))
    except ValueError as error:
        fail(f"--base-url {error}", 2)


def _ask_for_provider() -> str | None:
    click.echo("Which provider do you have a key for? (An empty answer: none; a server on this machine serves.)")
    for each in CLOUD:
        click.echo(f"  {each.name:12}{each.title}, keys at {each.key_page}")
    question = "Provider"
    while answer := _name_in(click.prompt(question, default="", show_default=False)):
        if any(answer == each.name for each in CLOUD):
            return answer
        question = f"One of {', '.join(each.name for each in CLOUD)}"
    return None


def _name_in(answer: str) -> str:
    """The name of the provider that *answer* means: its title stands beside it."""
    typed = answer.strip().casefold()
    return next((each.name for each in CLOUD if typed == each.title.casefold()), typed)


def _key_of(known: Known, *, ask: bool) -> str:
    there = os.environ.get(known.variable or "", "").strip()
    if there:
        click.echo(f"The key is taken from {known.variable} of the environment.")
        return there
    if not ask:
        fail(f"no key for {known.title}: pipe it into the standard input, with --key-stdin (get one: {known.key_page})")
    typed: str = click.prompt(f"Key of {known.title} (it is not shown)", hide_input=True)
    return typed.strip()


def _models(known: Known, key: str | None) -> list[str]:
    try:
        models = models_of(known.base_url, key)
    except NoModels as error:
        if error.refused:
            fail(f"{known.title} refuses the key: make one at {known.key_page}")
        fail(str(error))
    if not models:
        fail(f"{known.title} lists no models")
    click.echo(f"{known.title} has {len(models)} models.")
    return models


def _local() -> list[Chosen]:
    found = local_servers()
    chosen = []
    for name, models in found.items():
        known = BY_NAME[name]
        click.echo(f"{known.title} runs on this machine, with {len(models)} models.")
        if models:
            chosen.append(Chosen(known, propose(known, models)))
    return chosen


def _show(main: Chosen, others: list[Chosen]) -> None:
    rows = [(slot, f"{main.provider.name}:{model}") for slot, model in main.models.items()]
    click.echo(table(("slot", "model"), rows))
    for each in others:
        click.echo(f"When it fails, {each.provider.title} is asked.")


def _import(source: Path, folder: Path) -> None:
    try:
        files, notes = imported(source)
    except NotImported as error:
        fail(str(error))
    for note in notes:
        click.echo(f"note: {note}")
    _write(folder, files)


def _write(folder: Path, files: dict[str, str]) -> None:
    if not os.path.exists(folder / SCHEMA):
        files = {**files, SCHEMA: schema_text()}
    try:
        written = write(folder, files)
    except Exists as error:
        fail(f"{error} is there already, and is not replaced: move it away, or choose another folder with --dir")
    except OSError as error:
        fail(f"cannot write {error.filename or folder}: {error.strerror}")
    places = [place_for_others(path) for path in written]
    for place in places:
        click.echo(f"wrote {place}")
    if places != written:
        click.echo(
            f"note: other programs find nothing of this in {folder}: this is the Python of Microsoft's Store, of which "
            "Windows keeps the files elsewhere. Edit them where they are."
        )
    told = of_rights([path for path in written if path.name == KEYS], user_home())
    if told is not None:
        click.echo(f"note: {told}")
    where = _named(folder)
    # Lists of models may be open to every key: that there was one says nothing of this one.
    click.echo(f"Next: skyproxy check --live{where}, then skyproxy run{where}")


def _named(folder: Path) -> str:
    """What to type besides so that the configuration in *folder* is the one that serves."""
    found = find(None, environ=os.environ, cwd=Path.cwd(), home=user_home(), problems=[])
    if found is not None and os.path.samefile(found.files[0], folder / CONFIG):
        return ""
    path = str(folder.absolute())
    return " --config " + (subprocess.list2cmdline([path]) if sys.platform == "win32" else shlex.quote(path))
