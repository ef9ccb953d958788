"""A change is answered when all workers have it."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from skyproxy.process.workers.crew import SETTLED_SECONDS, TOGETHER_SECONDS, Crew
from skyproxy.process.workers.gathered import Gathered
from skyproxy.process.workers.hears import Hears
from skyproxy.process.workers.intake import STUCK_SECONDS
from skyproxy.process.workers.member import ADOPT_SECONDS, SILENT_SECONDS, Member
from skyproxy.process.workers.messages import Adopt, Clients, Load, Ready, Stop
from skyproxy.process.workers.passing import Passed
from skyproxy.process.workers.protocol import Channel
from skyproxy.process.workers.settling import SettledRequest
from skyproxy.web.client import HttpClient, client_of
from skyproxy.web.request import ApiRequest


class StartedMember(Member):
    """One whose process says what the test has it say.

    :ivar is_there: it answers, whatever it is asked.
    :ivar back: what it has not taken.
    """

    is_there = False
    back: tuple[Passed, ...] = ()

    def take_back(self) -> list[Passed]:
        back, self.back = self.back, ()
        self.intake.took_back(len(back))
        return list(back)

    @property
    def answers(self) -> bool:
        return self.is_there or super().answers

    def begin(self) -> None:
        """Be a process that begins, and reads what it is told when :meth:`read` is called."""
        self.got: list[Any] = []
        self.refuses: tuple[type, ...] = ()
        self.killed = 0
        self.theirs = Channel(self._take)
        self.channel = Channel(self._handle, self._ended)
        self.wires = StringTransport(), StringTransport()
        for channel, wire in zip((self.channel, self.theirs), self.wires, strict=True):
            channel.makeConnection(wire)  # type: ignore[no-untyped-call]

    def _take(self, message: Any) -> int:
        self.got.append(message)
        if isinstance(message, self.refuses):
            raise ValueError("too many open files")
        return 0

    def kill(self) -> None:
        self.killed += 1

    def read(self) -> None:
        """Have both sides read."""
        assert self.channel is not None
        while any(wire.value() for wire in self.wires):
            for wire, other in zip(self.wires, (self.theirs, self.channel), strict=True):
                data = wire.value()
                wire.clear()
                other.dataReceived(data)  # type: ignore[no-untyped-call]

    def hear(self) -> None:
        """Have the parent alone read."""
        assert self.channel is not None
        data = self.wires[1].value()
        self.wires[1].clear()
        self.channel.dataReceived(data)  # type: ignore[no-untyped-call]


class Given:
    """Stands in for the passage to a worker."""

    unsent = 0

    def __init__(self, given: list[int]) -> None:
        self._given = given

    def send(self, tag: int, descriptor: int) -> None:
        self._given.append(descriptor)


class CrewTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        nothing: Any = lambda *_: None  # noqa: E731
        hears = Hears(nothing, nothing, nothing, nothing, nothing, nothing)
        self.crew = Crew(self.clock, 0, nothing, Gathered(self.clock.seconds), hears)
        self.members = [StartedMember(self.clock, number, self.crew) for number in range(2)]
        self.crew.members = cast(Any, self.members)
        for each in self.members:
            each.begin()

    def ready(self, member: StartedMember) -> None:
        member.theirs.tell(Ready())
        member.read()
        self.assertTrue(member.ready)


class ReadyTests(CrewTestCase):
    """When a worker that begins serves."""

    def test_it_has_heard_first_what_it_was_told_meanwhile(self) -> None:
        member = self.members[0]
        member.channel.tell("first")  # type: ignore[union-attr]
        told = self.crew.sum_of(Clients())
        self.assertEqual(self.successResultOf(told), 0, "who serves nobody is not waited for")
        member.theirs.tell(Ready())
        member.hear()
        self.assertTrue(member.begun)
        self.assertFalse(member.ready)
        later = self.crew.sum_of(Clients())
        self.assertNoResult(later)
        member.read()
        self.assertTrue(member.ready)
        self.assertEqual(member.got, ["first", Clients(), Clients()])

    def test_one_that_is_lost_meanwhile_never_does(self) -> None:
        member = self.members[0]
        member.pid = 1
        member.channel.tell("first")  # type: ignore[union-attr]
        member.theirs.tell(Ready())
        member.hear()
        member.channel.connectionLost(Failure(Exception()))  # type: ignore[union-attr]
        self.assertFalse(member.ready)
        self.assertFalse(member.begun)


class RefusingTests(CrewTestCase):
    """A worker that cannot take what the others have is ended, so that it begins anew with it."""

    def test_a_configuration(self) -> None:
        member, adopt = self.members[0], Adopt(cast(Any, None), ())
        member.refuses = (Adopt,)
        self.ready(member)
        member.adopt(adopt)
        member.read()
        self.assertEqual(member.killed, 1)

    def test_one_that_ends_meanwhile_has_not_refused_it(self) -> None:
        member = self.members[0]
        self.ready(member)
        member.pid = 7
        member.adopt(Adopt(cast(Any, None), ()))
        with capturedLogs() as logged:
            member.channel.connectionLost(Failure(ConnectionDone()))  # type: ignore[union-attr]
        self.assertNotIn("did not take", " ".join(each["log_format"] for each in logged))
        self.assertEqual(member.killed, 0)

    def test_a_configuration_that_came_while_it_began(self) -> None:
        member = self.members[0]
        member.refuses = (Adopt,)
        # It hears of the configuration when it has heard that it is known to have begun.
        self.crew.tell("first")
        member.theirs.tell(Ready())
        self.crew.adopt(Adopt(cast(Any, None), ()))
        member.read()
        self.assertEqual(member.killed, 1)

    def test_the_keys_of_clients(self) -> None:
        for each in self.members:
            self.ready(each)
        self.members[0].refuses = (Clients,)
        told = self.crew.sum_of(Clients())
        for each in self.members:
            each.read()
        self.assertEqual(self.successResultOf(told), 0)
        self.assertEqual([each.killed for each in self.members], [1, 0])

    def test_the_keys_that_changed_while_it_began(self) -> None:
        member = self.members[0]
        member.refuses = (Clients,)
        member.theirs.tell(Ready())
        self.crew.sum_of(Clients())
        member.read()
        self.assertEqual(member.killed, 1)

    def test_one_that_is_slow_is_told_of_in_words(self) -> None:
        observed: list[Any] = []
        globalLogPublisher.addObserver(observed.append)
        self.addCleanup(globalLogPublisher.removeObserver, observed.append)
        self.ready(self.members[0])
        told = self.crew.sum_of(Clients())
        self.crew.adopt(Adopt(cast(Any, None), ()))
        self.clock.advance(SETTLED_SECONDS)
        self.assertEqual((self.successResultOf(told), self.members[0].killed), (0, 0))
        self.clock.advance(ADOPT_SECONDS - SETTLED_SECONDS)
        self.assertEqual(self.members[0].killed, 1)
        reasons = [each["reason"] for each in observed if "reason" in each]
        self.assertEqual(reasons, [f"it has not answered for {time:g} seconds" for time in (5.0, 30.0)])


class TogetherTests(CrewTestCase):
    """Connections that come while workers begin."""

    def setUp(self) -> None:
        super().setUp()
        self.given: list[list[int]] = [[], []]
        for each, given in zip(self.members, self.given, strict=True):
            each.passage = cast(Any, Given(given))
        self.eased = 0

    def come(self) -> None:
        self.crew.when_eased(self._goes_on)
        for number in range(4):
            self.crew.give(0, number)

    def _goes_on(self) -> None:
        self.eased += 1

    def test_they_wait_until_all_serve(self) -> None:
        self.come()
        self.ready(self.members[0])
        self.assertEqual((self.given, self.eased), ([[], []], 0))
        self.ready(self.members[1])
        self.assertEqual((self.given, self.eased), ([[0, 2], [1, 3]], 1))

    def test_they_do_not_wait_long(self) -> None:
        self.ready(self.members[0])
        self.come()
        self.clock.advance(TOGETHER_SECONDS)
        self.assertEqual((self.given, self.eased), ([[0, 1, 2, 3], []], 1))
        # What has begun goes on, whoever comes later.
        self.crew.give(0, 4)
        self.ready(self.members[1])
        self.crew.give(0, 5)
        self.assertEqual(self.given, [[0, 1, 2, 3, 4], [5]])

    def test_none_is_to_be_accepted_that_would_wait(self) -> None:
        self.assertFalse(self.crew.may_give)
        self.ready(self.members[0])
        self.assertFalse(self.crew.may_give)
        self.ready(self.members[1])
        self.assertTrue(self.crew.may_give)
        self.crew.look()
        self.clock.advance(SILENT_SECONDS)
        self.assertFalse(self.crew.may_give)
        # They answer before anybody has seen that they did not.
        for each in self.members:
            each.is_there = True
        self.crew.when_eased(self._goes_on)
        self.crew.look()
        self.assertEqual((self.crew.may_give, self.eased), (True, 1))

    def test_those_that_begin_are_passed_them_before_they_stop(self) -> None:
        for each in self.members:
            each.pid = 1
        self.come()
        self.crew.stop(30.0)
        self.clock.pump([0.1] * 100)
        self.members[0].read()
        self.assertEqual(self.members[0].got, [])
        self.ready(self.members[0])
        self.clock.advance(0.1)
        self.members[0].read()
        self.assertEqual(self.given, [[0, 1, 2, 3], []])
        self.assertEqual([type(each) for each in self.members[0].got], [Stop])

    def test_they_are_passed_on_when_all_answer_again(self) -> None:
        for each in self.members:
            self.ready(each)
        self.crew.look()
        self.clock.advance(SILENT_SECONDS)
        self.crew.look()
        self.come()
        self.assertEqual((self.given, self.eased), ([[], []], 0))
        for each in self.members:
            each.is_there = True
        self.crew.look()
        self.assertEqual((self.given, self.eased), ([[0, 2], [1, 3]], 1))

    def test_one_that_has_no_room_keeps_none_waiting(self) -> None:
        first, second = self.members
        for each in self.members:
            self.ready(each)
            each.is_there = True
        first.theirs.tell(Load(3, 0))
        second.theirs.tell(Load(3, 0))
        self.come()
        second.theirs.tell(Load(5, 2))
        for each in self.members:
            each.read()
        self.assertEqual(self.given, [[0, 2], [1, 3]])
        self.crew.look()
        self.assertEqual(self.given, [[0, 2], [1, 3]])
        first.back = Passed(0, 0), Passed(0, 2)
        self.clock.advance(STUCK_SECONDS)
        self.crew.look()
        self.crew.give(0, 4)
        self.assertEqual(self.given, [[0, 2], [1, 3, 0, 2, 4]])
        # One of its own ends.
        first.theirs.tell(Load(2, 0))
        first.read()
        self.crew.give(0, 5)
        self.assertEqual(self.given, [[0, 2, 5], [1, 3, 0, 2, 4]])
        # Of those that all have no room one keeps what it has.
        self.clock.advance(STUCK_SECONDS)
        first.back, second.back = (Passed(0, 5),), (Passed(0, 4),)
        self.crew.look()
        self.assertEqual(sum(map(len, self.given)), 9)

    def test_they_are_passed_on_when_all_is_to_stop(self) -> None:
        self.ready(self.members[0])
        self.come()
        self.crew.stop(10.0)
        self.assertEqual(self.given, [[0, 1, 2, 3], []])


class SettledTests(CrewTestCase):
    """:meth:`Crew.settled` and :meth:`Crew.sum_of`."""

    def test_all_that_serve_have_it(self) -> None:
        for each in self.members:
            self.ready(each)
        self.crew.tell("news")
        settled = self.crew.settled()
        self.members[0].read()
        self.assertNoResult(settled)
        self.members[1].read()
        self.successResultOf(settled)

    def test_one_that_hangs_is_not_waited_for_for_ever(self) -> None:
        for each in self.members:
            self.ready(each)
        self.crew.tell("news")
        settled = self.crew.settled()
        asked = self.crew.sum_of(Clients())
        self.members[0].read()
        self.clock.advance(SETTLED_SECONDS)
        self.successResultOf(settled)
        self.assertEqual(self.successResultOf(asked), 0)


class FakeChannel:
    """What a request needs of its connection."""

    def __init__(self, settled: Any) -> None:
        self.transport = StringTransport()
        self.site: Any = Resource()
        self.site.settled = settled
        self.written = b""
        self.ended = False

    def getPeer(self) -> None: ...

    def getHost(self) -> None: ...

    def writeHeaders(self, *_: Any) -> None: ...

    def write(self, data: bytes) -> None:
        self.written += data

    def requestDone(self, request: Any) -> None:
        self.ended = True


class RequestTests(SynchronousTestCase):
    """:class:`SettledRequest`."""

    def request(self, method: bytes, settled: Any, path: bytes = b"/api/x") -> tuple[FakeChannel, SettledRequest]:
        channel = FakeChannel(lambda: settled)
        request = SettledRequest(channel)
        request.method, request.path, request.clientproto = method, path, b"HTTP/1.1"
        return channel, request

    def answer(self, request: SettledRequest) -> None:
        client = client_of(request, [], Clock().seconds)
        self.assertIs(type(client), HttpClient)
        client.answer(200, [], b"done")

    def test_a_change_waits(self) -> None:
        settled: Deferred[None] = Deferred()
        channel, request = self.request(b"POST", settled)
        self.answer(request)
        request.finish()
        self.assertEqual((channel.written, channel.ended), (b"", False))
        settled.callback(None)
        self.assertEqual((channel.written, channel.ended), (b"done", True))

    def test_others_do_not(self) -> None:
        channel, request = self.request(b"GET", None)
        self.answer(request)
        self.assertEqual((channel.written, channel.ended), (b"done", True))

    def test_a_hotkey_waits_whatever_its_method(self) -> None:
        settled: Deferred[None] = Deferred()
        channel, request = self.request(b"GET", settled, b"/api/profile/quiet")
        self.answer(request)
        self.assertFalse(channel.ended)
        settled.callback(None)
        self.assertTrue(channel.ended)

    def test_a_client_that_has_left(self) -> None:
        settled: Deferred[None] = Deferred()
        channel, request = self.request(b"POST", settled)
        self.answer(request)
        request.gone = True
        settled.callback(None)
        self.assertEqual((channel.written, channel.ended), (b"", False))

    def test_requests_that_are_for_this_process_alone(self) -> None:
        self.assertFalse(ApiRequest.held)
        channel, request = self.request(b"POST", succeed(None))
        self.answer(request)
        self.assertTrue(channel.ended)
