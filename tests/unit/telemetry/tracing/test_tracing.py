"""Whether requests are traced, as the configuration says."""

from __future__ import annotations

from typing import Any
from unittest import mock

from skyproxy.config import Config
from skyproxy.telemetry.tracing.tracing import Tracing
from tests.unit.configs import config_of
from tests.unit.telemetry.requests.test_ring import RingCase
from tests.unit.telemetry.test_records import record_of
from tests.unit.telemetry.tracing.test_exporter import traced_of

PLAIN = 'providers: {guard: {base_url: "https://api.openai.com/v1", api_key_env: K}}\n'


def config(endpoint: str = "http://127.0.0.1:4318", **more: Any) -> Config:
    with mock.patch("skyproxy.config.telemetry.has_extra", return_value=True):
        return config_of(f"proxy: {{telemetry: {{endpoint: '{endpoint}', **{{}}}}}}\n".replace(", **{}", "".join(
            f", {name}: {value}" for name, value in more.items()
        )) + PLAIN, K="key")  # fmt: skip


class TracingTests(RingCase):
    def setUp(self) -> None:
        super().setUp()
        self.made: list[mock.Mock] = []
        self.bytes = iter(range(1, 250))
        self.tracing = Tracing(self.make, lambda count: bytes([next(self.bytes)]) * count)

    def make(self, settings: Any, counts: Any) -> Any:
        self.made.append(mock.Mock(settings=settings))
        return self.made[-1]

    def test_it_follows_the_configuration(self) -> None:
        tracing = self.tracing
        tracing.use(config())
        self.assertEqual((tracing.on, self.made), (False, []), "the process may fork yet")
        tracing.start(config_of(PLAIN, K="key"))
        self.assertEqual((tracing.on, self.made), (False, []))
        tracing.use(config())
        self.assertTrue(tracing.on)
        self.made[0].start.assert_called_once()
        tracing.use(config())
        self.assertEqual(len(self.made), 1)
        tracing.use(config("http://127.0.0.1:4319"))
        self.made[0].stop.assert_called_once()
        self.made[1].start.assert_called_once()
        tracing.use(config_of(PLAIN, K="key"))
        self.made[1].stop.assert_called_once()
        self.assertFalse(tracing.on)

    def test_the_end(self) -> None:
        done = mock.Mock()
        self.tracing.stop(done)
        done.assert_called_once()
        self.tracing.start(config())
        self.tracing.stop(done)
        self.made[0].stop.assert_called_once_with(done)
        self.tracing.ended(traced_of(self.history(), record_of()))
        self.made[0].add.assert_not_called()

    def test_what_is_recorded(self) -> None:
        self.tracing.start(config(sample="0.5"))
        first = self.tracing.begin(None, None)
        self.assertEqual((first.span_id, first.trace_id, first.parent_id), ("01" * 8, "02" * 16, ""))
        self.assertTrue(first.sampled)
        self.bytes = iter([200, 200, 200, 200])
        other = self.tracing.begin(None, None)
        self.assertFalse(other.sampled)
        # A parent decides for its own.
        parent = b"00-%b-%b-01" % (b"a" * 32, b"b" * 16)
        joined = self.tracing.begin(parent, b"x=1")
        self.assertEqual((joined.trace_id, joined.parent_id, joined.sampled), ("a" * 32, "b" * 16, True))
        self.assertEqual(joined.state, b"x=1")
        for context, sent in ((first, 1), (other, 1), (joined, 2)):
            self.tracing.ended(traced_of(self.history(), record_of())._replace(context=context))
            self.assertEqual(self.made[0].add.call_count, sent)
        _, peers = self.made[0].add.call_args[0]
        self.assertEqual(peers["guard"], ("openai", "api.openai.com", 443))

    def test_the_whole_and_none(self) -> None:
        for sample, sampled in (("0", False), ("1", True)):
            self.tracing.start(config(sample=sample))
            self.bytes = iter([255, 255])
            self.assertIs(self.tracing.begin(None, None).sampled, sampled)
