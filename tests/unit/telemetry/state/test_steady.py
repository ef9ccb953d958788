"""What is told of slots: worse at once, better after two looks."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.telemetry.state.slots import SlotHealth
from skyproxy.telemetry.state.steady import SteadyHealth
from tests.unit.telemetry.state.test_state import judged, slot_of, word

GOOD = judged(slot_of("+" * 9))
SOME = judged(slot_of("-" + "+" * 9))
BAD = judged(slot_of("---"))
SILENT = judged(slot_of("---", candidates=(("openrouter", "mistral-small"),)), word("no_credit"))
FINE, SLOWER, SLOW = (
    GOOD._replace(speed=GOOD.speed._replace(pace=pace, p50=p50))
    for pace, p50 in (("fine", 0.5), ("slower", 2.0), ("slow_to_start", 3.4))
)


class SteadyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.steady = SteadyHealth()

    def health(self, found: SlotHealth, now: float) -> str:
        return self.steady.look({"default": found}, now)["default"].health

    def pace(self, found: SlotHealth, now: float) -> str:
        return self.steady.look({"default": found}, now)["default"].speed.pace

    def test_the_samples_are_what_they_are_called(self) -> None:
        self.assertEqual(
            [each.health for each in (GOOD, SOME, BAD, SILENT)],
            ["reliable", "some_errors", "unreliable", "not_answering"],
        )

    def test_worse_is_told_at_once(self) -> None:
        for at, (found, told) in enumerate((
            (GOOD, "reliable"), (SOME, "some_errors"), (BAD, "unreliable"), (SILENT, "not_answering"),
        )):  # fmt: skip
            self.assertEqual(self.health(found, at), told)

    def test_better_needs_two_looks_ten_seconds_apart(self) -> None:
        for now, found, told in (
            (0.0, BAD, "unreliable"), (1.0, GOOD, "unreliable"), (10.9, GOOD, "unreliable"), (11.0, GOOD, "reliable"),
        ):  # fmt: skip
            self.assertEqual(self.health(found, now), told, now)

    def test_what_flickers_stays_bad(self) -> None:
        for now in range(0, 60, 2):
            self.assertEqual(self.health(BAD if now % 8 == 0 else GOOD, now), "unreliable", now)

    def test_it_turns_to_the_worst_of_the_last_looks(self) -> None:
        for now, found, told in (
            (0.0, SILENT, "not_answering"), (1.0, SOME, "not_answering"), (6.0, GOOD, "not_answering"),
            (11.0, GOOD, "some_errors"), (15.9, GOOD, "some_errors"), (16.0, GOOD, "reliable"),
        ):  # fmt: skip
            self.assertEqual(self.health(found, now), told, now)

    def test_a_worse_look_begins_anew_for_what_is_better_than_it(self) -> None:
        for now, found, told in (
            (0.0, SILENT, "not_answering"), (1.0, GOOD, "not_answering"), (9.0, SOME, "not_answering"),
            (11.0, GOOD, "some_errors"), (19.0, GOOD, "some_errors"), (21.0, GOOD, "reliable"),
        ):  # fmt: skip
            self.assertEqual(self.health(found, now), told, now)

    def test_what_is_told_belongs_together(self) -> None:
        self.steady.look({"default": BAD}, 0.0)
        told = self.steady.look({"default": GOOD._replace(cost_hour={"USD": 1.0})}, 1.0)["default"]
        self.assertEqual((told.line, told.counted, told.answered), (BAD.line, 3, 0))
        self.assertEqual(told.cost_hour, {"USD": 1.0})

    def test_the_first_look_after_a_long_time_tells_what_is_found(self) -> None:
        self.health(BAD, 0.0)
        self.assertEqual(self.health(GOOD, 31.0), "reliable")

    def test_what_is_neither_better_nor_worse_is_told_at_once(self) -> None:
        few, unused = judged(slot_of("+++")), judged(slot_of(""))
        self.assertEqual([self.health(each, 0.0) for each in (unused, few, GOOD)], ["unused", "too_few", "reliable"])

    def test_a_pause_and_its_end_are_told_at_once(self) -> None:
        self.health(BAD, 0.0)
        self.assertEqual(self.health(GOOD._replace(health="paused"), 1.0), "paused")
        self.assertEqual(self.health(GOOD, 2.0), "reliable")

    def test_the_pace_as_well(self) -> None:
        for now, found, told in (
            (0.0, FINE, "fine"), (1.0, SLOW, "slow_to_start"), (2.0, SLOWER, "slow_to_start"),
            (3.0, FINE, "slow_to_start"), (12.0, FINE, "slower"), (13.0, FINE, "fine"), (14.0, SLOWER, "slower"),
        ):  # fmt: skip
            self.assertEqual(self.pace(found, now), told, now)
        self.pace(SLOW, 15.0)
        self.assertEqual(self.steady.look({"default": FINE}, 16.0)["default"].speed.p50, 3.4)

    def test_slots_that_are_gone_are_forgotten(self) -> None:
        self.health(BAD, 0.0)
        self.assertEqual(self.steady.look({}, 1.0), {})
        self.assertEqual(self.health(GOOD, 2.0), "reliable")
