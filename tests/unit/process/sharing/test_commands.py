"""The commands that a user of a Redis needs are those that the guide for operators has, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import skyproxy
from tests.redis_commands import documented

OF_ANSWERS = {"answer_scripts.py", "redis_answers.py"}
OF_SENTINELS = {"sentinel.py"}

_IN_LUA = re.compile(r"(?:redis\.p?call|count)\('([A-Z]+)'")
_CALLED = re.compile(r"protocol\.(\w+)\(")
_EXECUTED = re.compile(r"""execute(?:_command)?\((?:self\._\w+, )?"([A-Z]+)\"""")
_SENT_BY = {
    "eval": {"EVAL", "EVALSHA"},
    "subscribe": {"SUBSCRIBE"},
    "unsubscribe": {"UNSUBSCRIBE"},
    "execute_command": set[str](),
}


def used(texts: list[str]) -> set[str]:
    """The commands in *texts* of modules. A database that is not the first has to be selected."""
    found = {"SELECT"}
    for text in texts:
        found |= {*_IN_LUA.findall(text), *_EXECUTED.findall(text)}
        for method in _CALLED.findall(text):
            found |= _SENT_BY[method]
    return found


class CommandsTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(skyproxy.__file__).parent / "process"
        texts = {path.name: path.read_text(encoding="utf-8") for path in folder.rglob("*.py")}
        speaks = re.compile(r"redis\.call|protocol\.(?:eval|execute_command)")
        self.texts = {name: text for name, text in texts.items() if speaks.search(text)}

    def test_where_answers_are_kept(self) -> None:
        texts = [text for name, text in self.texts.items() if name in OF_ANSWERS]
        self.assertEqual((len(texts), used(texts)), (len(OF_ANSWERS), documented("skyproxy:{answers}:*")))

    def test_by_which_machines_share(self) -> None:
        others = {name: text for name, text in self.texts.items() if name not in OF_ANSWERS | OF_SENTINELS}
        self.assertEqual(set(others), {"kept.py", "redis_store.py", "scripts.py", "budget_script.py"})
        self.assertEqual(used(list(others.values())), documented("skyproxy:*"))
