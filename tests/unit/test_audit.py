"""What is made of pip-audit's report."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.audit import read

GOOD = {"name": "klein", "version": "24.8.0", "vulns": []}
BAD = {
    "name": "h2",
    "version": "4.0",
    "vulns": [{"id": "CVE-1", "fix_versions": ["4.1"]}, {"id": "X", "fix_versions": []}],
}
UNKNOWN = {"name": "treq", "skip_reason": "Dependency not found on PyPI"}


class AuditTests(SynchronousTestCase):
    def read(self, *dependencies: dict[str, Any]) -> Any:
        return read(json.dumps({"dependencies": dependencies}))

    def test_vulnerable(self) -> None:
        lines, vulnerable = self.read(GOOD, BAD)
        self.assertTrue(vulnerable)
        self.assertEqual(lines[0], "VULNERABLE: h2 4.0: CVE-1, mended in 4.1")
        self.assertIn("no version yet", lines[1])
        self.assertEqual(lines[2], "2 packages looked up")

    def test_what_could_not_be_looked_up_is_told(self) -> None:
        lines, vulnerable = self.read(GOOD, UNKNOWN, {**UNKNOWN, "name": "skyproxy"})
        self.assertFalse(vulnerable)
        self.assertEqual(lines, ["1 packages looked up", "WARNING: THE INDEX TELLS NO VULNERABILITIES of 1: treq"])

    def test_no_report(self) -> None:
        for report in ("", "[]", "null", "{}"):
            lines, vulnerable = read(report, "a lot\nConnectionError: no network\n")
            self.assertFalse(vulnerable)
            self.assertEqual(lines, ["WARNING: COULD NOT LOOK FOR VULNERABILITIES: ConnectionError: no network"])
