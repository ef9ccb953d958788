"""Children of the service: which of their two functions are called, and when."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.child import Child, Resource


class ChildTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.called: list[str] = []

    def stop(self) -> Deferred[None]:
        self.called.append("stop")
        return succeed(None)

    def test_start_and_stop(self) -> None:
        for kind in (Child, Resource):
            self.called.clear()
            child = kind("x", lambda: self.called.append("start"), self.stop)
            child.startService()
            self.assertEqual((self.called, bool(child.running)), (["start"], True))
            stopped = child.stopService()
            assert stopped is not None
            self.assertIsNone(self.successResultOf(stopped))
            self.assertEqual((self.called, bool(child.running)), (["start", "stop"], False))

    def test_what_was_not_started_is_stopped_only_where_it_has_something_open(self) -> None:
        self.assertIsNone(Child("x", stop=self.stop).stopService())
        self.assertEqual(self.called, [])
        self.assertIsNotNone(Resource("x", stop=self.stop).stopService())
        self.assertEqual(self.called, ["stop"])

    def test_without_functions(self) -> None:
        child = Child("x")
        child.startService()
        self.assertIsNone(child.stopService())

    def test_a_stop_that_is_a_coroutine_or_fails(self) -> None:
        async def wait() -> None:
            await self.stop()
            raise ZeroDivisionError

        child = Child("x", stop=wait)
        child.startService()
        stopped = child.stopService()
        assert stopped is not None
        self.failureResultOf(stopped, ZeroDivisionError)
        self.assertEqual(self.called, ["stop"])
