"""Changes by hand, written into the file of the configuration: their values' own characters, and nothing else."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Sequence
from difflib import unified_diff
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from skyproxy.config import Config, ConfigError
from skyproxy.config.editing import NotEditable, edited, has, lines_for
from skyproxy.config.masking import masker
from skyproxy.config.overlay import Setting, overlaid, same
from skyproxy.config.text_files import TextFile, digests_of
from skyproxy.pipeline.changes import Conflict


class NotKept(Conflict):
    """The file stays as it is. The message says why.

    :ivar lines: to be put there by hand; empty if that would be no use.
    """

    code = "not_kept"

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.lines = list(lines)

    def as_object(self) -> dict[str, Any]:
        """The lines besides, if there are any."""
        return {**super().as_object(), **({"lines": self.lines} if self.lines else {})}


class Plan(NamedTuple):
    """What keeping comes to.

    :ivar before: what *file* has held when this was made; *data*: what it is to hold.
    :ivar diff: its lines, without their context, which others need not see.
    """

    file: Path
    before: bytes
    data: bytes
    diff: list[str]


class Keeping:
    """Writes settings into the file that they belong to.

    :param load: the start's own: reads the configuration as it would be with other texts. Raises :class:`ConfigError`.
    """

    def __init__(self, load: Callable[..., Config]) -> None:
        self._load = load

    def plan(self, config: Config, settings: Sequence[Setting]) -> Plan:
        """What would be written.

        :param config: as it was read last.
        :raise NotKept: nothing can be.
        """
        source = config.found
        lines = lines_for((each.path, each.value) for each in settings)
        if source is None:
            raise NotKept("There is no file to keep it in: this is the built-in demo. `skyproxy init` writes one.")
        now = digests_of((*source.files, *source.env_files))
        for path in (*source.files, *source.env_files):
            if now.get(path) != config.digests.get(path):
                raise NotKept(f"{path} has changed since it was read: `skyproxy reload` first, then keep it.", lines)
        files = {path: _text_of(path, lines) for path in source.files}
        texts = {path: file.text for path, file in files.items()}
        try:
            for each in settings:
                path = next((path for path, text in texts.items() if has(text, each.path[:-1])), source.files[0])
                texts[path] = edited(texts[path], each.path, each.value)
        except (NotEditable, yaml.YAMLError) as error:
            raise NotKept(f"It cannot be written without touching more: {error}.", lines) from None
        changed = [path for path in texts if texts[path] != files[path].text]
        if len(changed) != 1:
            raise NotKept("It would take changes in several files, or in none.", lines)
        file = changed[0]
        self._check(config, settings, file, texts[file], lines)
        before, after = files[file].text.splitlines(), texts[file].splitlines()
        mask = masker(config.secrets)
        diff = [mask(line) for line in unified_diff(before, after, str(file), str(file), lineterm="", n=0)]
        reason = why_not_writable(file.resolve())
        if reason is not None:
            raise NotKept(f"{file} {reason}.", lines)
        held = files[file]
        return Plan(file, held.encoded(held.text), held.encoded(texts[file]), diff)

    def _check(self, config: Config, settings: Sequence[Setting], file: Path, text: str, lines: Sequence[str]) -> None:
        """See that *text* in *file* says what *config* says with *settings*, and nothing else."""
        try:
            found = self._load({file: text})
        except ConfigError as error:
            raise NotKept(f"The file could not be used with it: {error}.", lines) from None
        if not same(found, overlaid(config, settings)):
            raise NotKept("More than this value would change, for others share its lines.", lines)

    def write(self, plan: Plan) -> Config:
        """Write it, and read the configuration.

        :raise NotKept: it cannot be written.
        """
        try:
            replace(plan.file.resolve(), plan.data, plan.before)
        except OSError as error:
            raise NotKept(f"{plan.file} cannot be written: {error.strerror or error}.") from None
        return self._load()


def _text_of(path: Path, lines: Sequence[str]) -> TextFile:
    try:
        return TextFile(path.read_bytes())
    except (OSError, ValueError) as error:
        raise NotKept(f"{path} cannot be read as text: {error}.", lines) from None


def why_not_writable(path: Path) -> str | None:
    """Why the file *path* must not be replaced by another; None: it may be."""
    try:
        found = path.stat()
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    if not stat.S_ISREG(found.st_mode):
        return "is no plain file"
    # An administrator may write what is marked as not to be written; the mark was meant, though.
    if not found.st_mode & 0o222 or not os.access(path, os.W_OK):
        return "is not writable"
    if found.st_nlink > 1:
        return "has other names (hard links), which would keep the old text"
    if not os.access(path.parent, os.W_OK):
        return f"cannot be replaced: its folder {path.parent} is not writable"
    return None


def replace(path: Path, data: bytes, expected: bytes) -> None:
    """Have the file *path* hold *data*, at once: whoever reads it finds the old or the new, with its mode and owner.

    :param expected: what it holds.
    :raise NotKept: it holds something else. To work out *data* has taken a moment, in which its owner may have saved.
    :raise OSError: it cannot be. Then it is as it was.
    """
    before = path.stat()
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        made = os.stat(name)
        if hasattr(os, "chown") and (made.st_uid, made.st_gid) != (before.st_uid, before.st_gid):
            os.chown(name, before.st_uid, before.st_gid)
        _copy_attributes(path, name)
        os.chmod(name, stat.S_IMODE(before.st_mode))
        if path.read_bytes() != expected:
            raise NotKept(f"{path} has changed since it was read: `skyproxy reload` first, then keep it.")
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _copy_attributes(path: Path, name: str) -> None:
    """Have the file *name* be for whom *path* is: lists of rights are extended attributes on Linux."""
    if not hasattr(os, "listxattr"):
        return
    try:
        names = os.listxattr(path)
    except OSError:
        return  # a file system without them
    for each in names:
        if each.startswith("system.posix_acl"):
            os.setxattr(name, each, os.getxattr(path, each))
