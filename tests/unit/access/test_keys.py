"""Keys of clients."""

from __future__ import annotations

from hashlib import sha256

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access.keys import LENGTH, digest, digest_of, hash_of, new_key, trouble_with
from skyproxy.config.access import key_hash


class KeyTests(SynchronousTestCase):
    """new_key, hash_of, trouble_with"""

    def test_form(self) -> None:
        made = {new_key() for _ in range(500)}
        self.assertEqual(len(made), 500)
        for key in made:
            self.assertRegex(key, f"^sky-[0-9A-Za-z]{{{LENGTH - 4}}}$")
            self.assertIsNone(trouble_with(key))

    def test_every_typo_is_told(self) -> None:
        key = new_key()
        for at in range(4, LENGTH):
            other = "a" if key[at] != "a" else "b"
            self.assertIn("typed wrong", trouble_with(key[:at] + other + key[at + 1 :]) or "", at)
        for at in range(4, LENGTH - 1):
            swapped = key[:at] + key[at + 1] + key[at] + key[at + 2 :]
            if swapped != key:
                self.assertIsNotNone(trouble_with(swapped))
        self.assertIn("52 characters instead of 53", trouble_with(key[:-1]) or "")
        self.assertIn("54 characters", trouble_with(key + "x") or "")
        self.assertIn("no key has", trouble_with(key[:-1] + "-") or "")

    def test_keys_of_others_are_not_judged(self) -> None:
        self.assertIsNone(trouble_with("sk-or-v1-abc"))

    def test_hash(self) -> None:
        key = new_key()
        self.assertEqual(hash_of(key), f"sha256:{sha256(key.encode()).hexdigest()}")
        self.assertEqual(digest_of(hash_of(key)), digest(key.encode()))
        self.assertEqual(key_hash(hash_of(key)), hash_of(key))
