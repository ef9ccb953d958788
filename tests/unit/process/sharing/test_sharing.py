"""What a process shares with other machines, and under which names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest import SkipTest

from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import ProxySettings
from skyproxy.http.client.trust import Roots
from skyproxy.process.role import Role
from skyproxy.process.shared_limits import SharedLimits
from skyproxy.process.workers.allotting import Allotting
from skyproxy.process.workers.lent_share import LentShare
from skyproxy.process.workers.messages import Claims
from skyproxy.process.workers.worker_role import WorkerRole
from skyproxy.shares.messages import Report
from skyproxy.upstream.guards.concurrency import Limiter

try:
    from skyproxy.process.sharing import sharing
    from skyproxy.process.sharing.sharing import name_of
except ImportError:
    raise SkipTest('needs the extra: pip install "skyproxy[redis]"') from None


class Named:
    """A provider."""

    def __init__(self, name: str, base_url: str) -> None:
        self.config = self
        self.name, self.base_url = name, base_url


class SharedLimitsTests(SynchronousTestCase):
    def made(self, role: Any, **settings: str) -> SharedLimits:
        return SharedLimits(Clock(), ProxySettings(**settings), Roots({}), role, dict)

    def test_without_a_store_there_is_nothing(self) -> None:
        role = Role()
        shared = self.made(role)
        self.assertEqual((shared.leased(), shared.stop(), dict(shared.notices())), (None, None, {}))
        config: Any = object()
        told: list[Any] = []
        role.built = lambda *serves: told.append(serves)  # type: ignore[method-assign]
        shared.built(config, ())
        provider = shared.provider(lambda teller: told.append(teller) or config)  # type: ignore[func-returns-value]
        # Its guards have nobody to tell.
        self.assertEqual((told, provider), ([(config, ()), None], config))
        nobody: Any = object()
        shared.tell(nobody, nobody)
        shared.tell_no_more()

    def test_a_worker_leaves_it_to_its_parent(self) -> None:
        role = Role()
        role.is_machine = WorkerRole.is_machine
        self.assertIsNone(self.made(role, shared="redis://127.0.0.1:1").leased())

    def test_with_a_store_it_is_leased_when_others_say_so(self) -> None:
        self.assertIs(self.made(Role(), shared="redis://127.0.0.1:1").leased(), True)  # there is nothing to be leased

    def test_with_a_store_what_guards_find_out_is_told(self) -> None:
        shared = self.made(Role(), shared="redis://127.0.0.1:1")
        tellers: list[Any] = []
        shared.provider(tellers.append)  # type: ignore[arg-type]
        self.assertIsNotNone(tellers[0])
        self.assertEqual(shared.notices(), {"told": 0, "heard": 0, "ignored": 0})
        operations = SimpleNamespace(told=None)
        access = SimpleNamespace(revoked=None, revoked_before=lambda: succeed(()))
        shared.tell(operations, access)  # type: ignore[arg-type]
        self.assertTrue(operations.told and access.revoked)
        shared.tell_no_more()

    def test_what_is_one_provider_for_all(self) -> None:
        def name(*named: str) -> str:
            return name_of("max_concurrent", Named(*named))  # type: ignore[arg-type]

        far = "https://api.example/v1"
        self.assertEqual(name("a", far), name("a", far))
        self.assertNotEqual(name("a", far), name("b", far))
        self.assertNotEqual(name("a", far), name("a", "https://api.example/v2"))
        # That of each machine is its own.
        near = [f"http://{host}:11434/v1" for host in ("127.0.0.1", "localhost", "[::1]", "host.docker.internal")]
        here = [name("a", each) for each in near]
        self.assertEqual([name("a", each) for each in near], here)
        for part in ("own_place", "host_place"):
            self.patch(sharing, part, lambda: "another of the same name")
        for each, named in zip(near, here, strict=True):
            self.assertNotEqual(name("a", each), named)
        self.assertNotIn(" on ", name("a", far) + name("a", "http://192.168.1.2:11434/v1"))


class LentShareTests(SynchronousTestCase):
    def test_what_workers_may_use_and_want(self) -> None:
        clock, granted = Clock(), []
        limiter = Limiter(clock, max_concurrent=8, max_pending=10)
        allotting = Allotting(clock, lambda key, told: limiter.share, lambda worker, each: granted.append(each))
        share = LentShare(allotting, (("permits", "some"),), lambda: limiter.whole, limiter.keep_to)
        self.assertEqual((share.whole, share.in_use, share.wanted), (8, 0, (0, 0)))
        share.keep_to(3)
        allotting.heard(0, Claims(0.0, (), ((("permits", "some"), 8, Report("", 0, 0.0, 0, 5, 2)),)))
        clock.advance(0)
        self.assertEqual((share.whole, share.in_use, share.wanted), (8, 3, (5, 2)))
        self.assertEqual(granted[-1].grants[0][2].share, 3)
        share.keep_to(1)
        clock.advance(0)
        self.assertEqual((granted[-1].grants[0][2].share, share.in_use), (1, 3))
