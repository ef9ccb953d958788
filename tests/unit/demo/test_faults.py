from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.demo.faults import Faults, parse_faults


class ParseTests(SynchronousTestCase):
    def test_a_plain_name_asks_for_nothing(self) -> None:
        self.assertEqual(parse_faults("guard"), Faults())

    def test_values_and_switches(self) -> None:
        self.assertEqual(
            parse_faults("guard;chunks=3;delay=0.5;cut=0;crlf;usage=no;text=a%20b;think=field;retry_after=1.5"),
            Faults(
                chunks=3,
                delay=0.5,
                cut=0,
                crlf=True,
                usage=False,
                text="a b",
                think="field",
                retry_after="1.5",
            ),
        )

    def test_what_it_does_not_know_is_named(self) -> None:
        for model, named in (
            ("guard;chunk=3", "chunk"),
            ("guard;chunks", "chunks"),
            ("guard;chunks=-1", "-1"),
            ("guard;delay=nan", "nan"),
            ("guard;status=99", "99"),
            ("guard;crlf=maybe", "maybe"),
            ("guard;junk=food", "food"),
        ):
            error = self.assertRaises(ValueError, parse_faults, model)
            self.assertIn(repr(named), str(error))


class FailTests(SynchronousTestCase):
    def test_alone_it_is_a_503_that_passes(self) -> None:
        faults = parse_faults("guard;fail=2;chunks=3")
        self.assertEqual([faults.after(failed).status for failed in range(3)], [503, 503, None])
        self.assertEqual(faults.after(2), Faults(chunks=3))

    def test_another_fault_passes_too(self) -> None:
        faults = parse_faults("guard;fail=1;reset")
        self.assertTrue(faults.after(0).reset)
        self.assertIsNone(faults.after(0).status)
        self.assertEqual(faults.after(1), Faults())

    def test_without_it_faults_stay(self) -> None:
        self.assertEqual(parse_faults("guard;status=500").after(100).status, 500)
