"""The old process's side of an upgrade, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.upgrade.control import Heard
from skyproxy.process.upgrade.handing_over import TAKE_SECONDS, Upgrade
from skyproxy.process.upgrade.outcome import Outcome


class FakeOld:
    """In the place of what serves: notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.reason: str | None = None

    def refusal(self) -> str | None:
        return self.reason

    def hello(self) -> tuple[dict[str, Any], Sequence[int]]:
        return {"pid": 7}, [1]

    def begins(self) -> None:
        self.asked.append("begins")

    def pause(self, pid: int) -> dict[str, Any]:
        self.asked.append(("pause", pid))
        return {"changes": []}

    def resume(self) -> None:
        self.asked.append("resume")

    def failed(self) -> None:
        self.asked.append("failed")

    def leave(self) -> None:
        self.asked.append("leave")


class FakeNew:
    """In the place of the new process."""

    def __init__(self, heard: Heard, ended: Callable[[str], None]) -> None:
        self.heard, self.ended, self.words = heard, ended, ""
        self.pid: int | None = None
        self.asked: list[Any] = []
        self.error: OSError | None = None

    def begin(self, hello: dict[str, Any], descriptors: Sequence[int]) -> None:
        if self.error is not None:
            raise self.error
        self.pid = 99

    def say(self, word: str, **fields: Any) -> None:
        self.asked.append(word)

    def let_go(self) -> None:
        self.asked.append("let go")

    def kill(self) -> None:
        self.asked.append("kill")

    def last_words(self) -> str:
        return self.words

    def told(self, word: str, **fields: Any) -> None:
        """It says so."""
        self.heard(word, {"word": word, **fields})


class UpgradeTests(SynchronousTestCase):
    """skyproxy.process.upgrade.handing_over"""

    def setUp(self) -> None:
        self.clock, self.old = Clock(), FakeOld()
        self.news: list[FakeNew] = []
        self.error: OSError | None = None
        self.upgrade = Upgrade(self.clock, self.old, self.make)
        self.outcomes: list[Outcome] = []

    def make(self, heard: Heard, ended: Callable[[str], None]) -> FakeNew:
        new = FakeNew(heard, ended)
        new.error = self.error
        self.news.append(new)
        return new

    def begin(self, seconds: float = 60.0) -> FakeNew:
        self.upgrade.begin("somebody", seconds).addCallback(self.outcomes.append)
        return self.news[-1]

    def assertFailed(self, reason: str, *asked: Any) -> None:
        """The old one serves on, and another upgrade can begin."""
        self.assertIn(reason, str(self.outcomes.pop().problem))
        self.assertEqual(self.old.asked, ["begins", *asked, "failed"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.old.asked.clear()
        self.begin().told("ready", version="2")
        self.assertEqual(self.old.asked, ["begins", ("pause", 99)])

    def test_it_takes_over(self) -> None:
        new = self.begin()
        self.assertEqual(self.old.asked, ["begins"])
        new.told("began", pid=99)
        self.assertEqual((self.outcomes, new.asked), ([], []))
        new.told("ready", version="2.0")
        # Nobody accepts now, and the sockets are not let go of yet.
        self.assertEqual((self.old.asked, new.asked), (["begins", ("pause", 99)], ["go"]))
        new.told("taken")
        self.assertEqual(self.old.asked[2:], ["leave"])
        self.assertEqual((self.outcomes, new.asked), ([Outcome(99, "2.0")], ["go", "let go"]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_afterwards_there_is_no_other(self) -> None:
        new = self.begin()
        new.told("ready")
        new.told("taken")
        self.outcomes.clear()
        self.begin()
        self.assertIn("process 99 has taken over already", str(self.outcomes[0].problem))
        self.assertEqual(len(self.news), 1)
        new.ended("it does not matter any more")
        self.upgrade.cancel()
        self.assertEqual(self.old.asked, ["begins", ("pause", 99), "leave"])

    def test_a_second_one_is_told_and_ignored(self) -> None:
        new = self.begin()
        self.begin()
        self.assertIn("one is under way: process 99 starts", str(self.outcomes.pop().problem))
        self.assertEqual(len(self.news), 1)
        new.told("ready")
        new.told("taken")
        self.assertEqual(self.outcomes, [Outcome(99, "")])

    def test_where_there_can_be_none_nothing_begins(self) -> None:
        self.old.reason = "a container ends with its first process"
        self.upgrade.begin("somebody").addCallback(self.outcomes.append)
        self.assertEqual(self.outcomes, [Outcome(problem=self.old.reason)])
        self.assertEqual((self.old.asked, self.news), ([], []))

    def test_one_that_cannot_be_started(self) -> None:
        self.error = OSError(12, "Cannot allocate memory")
        self.begin()
        self.error = None
        self.assertFailed("Cannot allocate memory")

    def test_one_that_ends(self) -> None:
        self.begin().ended("the configuration cannot be used")
        self.assertFailed("the configuration cannot be used")

    def test_silence(self) -> None:
        new = self.begin(5.0)
        self.clock.advance(4.9)
        new.told("began", pid=99)
        self.clock.advance(4.9)
        self.assertEqual(self.outcomes, [])
        self.clock.advance(0.1)
        self.assertEqual(new.asked, ["kill"])
        self.assertFailed("has said nothing for 5 seconds")

    def test_silence_of_one_that_has_written_something(self) -> None:
        """As that its workers cannot begin."""
        self.begin(5.0).words = "ImportError: no treq"
        self.clock.advance(5)
        self.assertFailed("has said nothing for 5 seconds, and last wrote: ImportError: no treq")

    def test_silence_after_it_was_ready(self) -> None:
        new = self.begin(60.0)
        new.told("ready")
        self.clock.advance(TAKE_SECONDS)
        self.assertEqual(new.asked, ["go", "kill"])
        self.assertFailed("has said nothing", ("pause", 99), "resume")

    def test_an_end_after_it_was_ready(self) -> None:
        new = self.begin()
        new.told("ready")
        new.ended("killed")
        self.assertFailed("killed", ("pause", 99), "resume")

    def test_a_stop_meanwhile(self) -> None:
        new = self.begin()
        new.told("ready")
        with capturedLogs() as logged:
            self.upgrade.cancel()
        self.assertEqual([event["log_format"] for event in logged], ["The upgrade is given up: {reason}"])
        self.assertEqual(new.asked, ["go", "kill"])
        self.assertFailed("was stopped meanwhile", ("pause", 99), "resume")

    def test_words_that_do_not_fit_change_nothing(self) -> None:
        new = self.begin()
        for word in ("taken", "hello", "of another version"):
            new.told(word)
        self.assertEqual((self.old.asked, new.asked), (["begins"], []))
        new.told("ready")
        new.told("ready")
        self.assertEqual(new.asked, ["go"])
