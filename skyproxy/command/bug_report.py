"""``skyproxy bug-report``: what helps others to help, without keys."""

from __future__ import annotations

import io
import json
import os
import re
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import click

from skyproxy.command.check import for_programs, look
from skyproxy.command.main import versions
from skyproxy.command.output import fail, printable
from skyproxy.command.place import config_option
from skyproxy.command.running import all_running
from skyproxy.command.telling import failures_of, now_of, request_lines, slots_table, state_lines
from skyproxy.config import Config, Problem
from skyproxy.config.files import read_text
from skyproxy.log.redaction import REDACTED, Redactor
from skyproxy.util.user_folders import text_log, user_home

_LOG_BYTES = 256 * 1024

_FAILURES = 20
"""Requests of which the timeline is in a report."""

# Where a key may stand in a file that cannot be read as a configuration.
_LIKE_A_KEY = re.compile(
    r"(?i)(\b(?:sky?-[A-Za-z0-9_-]{8,}|gsk_[A-Za-z0-9]{8,}|AIza[0-9A-Za-z_-]{10,}|[0-9a-f]{32}\.[A-Za-z0-9]{8,})"
    r"|(?<=Bearer )\S{8,}|(?<=://)[^/\s:@]*:[^/\s@]+(?=@))"
)
_SECRET_VALUE = re.compile(
    r"(?im)^([ \t#]*(?:-[ \t]+)?[\"']?[\w-]*(?:key|token|secret|password|credentials?|auth(?:orization)?|cookie)"
    r"[\"']?\s*[:=]\s*)(\S.*)$"
)
# Of fields of a header that stand in one line, as `headers: {X-Api-Key: ...}` or a log in JSON has them.
_SECRET_FIELD = re.compile(
    r"(?i)([{,]\s*[\"']?(?:[\w-]+-(?:key|token|secret|credentials?|auth)|(?:proxy-)?authorization|cookie)[\"']?\s*:\s*)"
    r"(?:([\"'])(?:(?!\2)[^\\]|\\.)*\2|[^,}\n\"'][^,}\n]*)"
)


@click.command("bug-report", short_help="Pack what others need to help you, without keys.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="The file; else skyproxy-bug-report-TIME.zip.")
@click.option("--yes", "-y", is_flag=True, help="Write it without asking.")
@config_option
def bug_report(output: Path | None, yes: bool, config: Path | None) -> None:
    """Pack the configuration without secrets, versions, the last lines of the log, and what a running skyproxy tells of
    its state and of the last requests that failed into a zip."""
    path = output or Path(time.strftime("skyproxy-bug-report-%Y%m%d-%H%M%S.zip"))
    if path.exists():
        fail(f"{path} is there already, and is not replaced: name another with --output")
    found = look(config, environ=os.environ, cwd=Path.cwd(), home=user_home())
    told = for_programs(found)
    # Its column "key" tells variables, and what stands behind that word is taken out.
    told["slots"] = [
        {("variables" if name == "key" else name): value for name, value in slot.items()} for slot in told["slots"]
    ]
    parts = contents(found.config, told, Path.cwd(), text_log(os.environ, user_home()))
    click.echo("It will hold:")
    for name, text in parts.items():
        click.echo(f"--- {name} ({len(text)} characters)")
        click.echo(_shown(text))
    click.echo("--- end")
    if not yes and not click.confirm(f"Write {path}? (Look through it: what is shown above is what others will see.)"):
        raise SystemExit(1)
    try:
        # Of what is asked here, others on this machine need to know nothing.
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(packed(parts))
    except OSError as error:
        fail(f"cannot write {path}: {error.strerror}")
    click.echo(f"wrote {path}")


def contents(config: Config | None, check: object, cwd: Path, text: Path | None = None) -> dict[str, str]:
    """The files of a report, by their names.

    :param text: the log of what a terminal would have shown, if there is any.
    """
    secrets = () if config is None else [secret for secret in config.secrets if secret]
    parts = {
        "versions.txt": "".join(f"{name} {number}\n" for name, number in versions().items()),
        "check.json": json.dumps(check, indent=1, ensure_ascii=False) + "\n",
    }
    if config is not None:
        for number, path in enumerate(config.paths):
            # A .env is keys and nothing else.
            if path.suffix in (".yaml", ".yml"):
                parts[f"configuration-{number}-{path.name}"] = _text_of(path)
        if config.proxy.log_file is not None:
            parts["log.jsonl"] = _tail(cwd / config.proxy.log_file)
    if text is not None and text.exists():
        parts[text.name] = _tail(text)
    # Of others the secrets are not known here.
    same = [each for each, status in all_running() if config is not None and status["configuration"] == config.source]
    for number, running in enumerate(same):
        now = now_of(running)
        if now is not None:
            parts[f"state-{number}.txt"] = "\n".join([*state_lines(now), "", slots_table(now), ""])
            failures = failures_of(running, _FAILURES)
            parts[f"requests-{number}.txt"] = "\n".join(
                line for each in failures for line in (*request_lines(each), "")
            )
    redactor = Redactor(secrets)
    return {name: without_secrets(text, redactor) for name, text in parts.items()}


def without_secrets(text: str, redactor: Redactor) -> str:
    """*text* without the configuration's secrets, and without what looks like one."""
    text = redactor.redact(text)
    text = _SECRET_VALUE.sub(lambda match: match[1] + REDACTED, text)
    text = _SECRET_FIELD.sub(lambda match: f"{match[1]}{match[2] or ''}{REDACTED}{match[2] or ''}", text)
    return _LIKE_A_KEY.sub(REDACTED, text)


def packed(parts: Mapping[str, str]) -> bytes:
    """*parts* as a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def _text_of(path: Path) -> str:
    """As a start reads it: what is in an encoding that nobody knows could hold keys that are not recognised."""
    problems: list[Problem] = []
    text = read_text(path, problems)
    return "".join(f"{problem}\n" for problem in problems) if text is None else text


def _tail(path: Path) -> str:
    """The last lines of the log."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LOG_BYTES))
            data = file.read()
    except OSError as error:
        return f"{path.name} cannot be read: {error.strerror}\n"
    if size > _LOG_BYTES:
        data = data.partition(b"\n")[2]
    return data.decode("utf-8", "replace")


def _shown(text: str) -> str:
    lines = [printable(line, keep="\t") for line in text.splitlines()]
    more = len(lines) - 40
    return "\n".join([*lines[:20], f"… {more} more lines …", *lines[-20:]] if more > 0 else lines)
