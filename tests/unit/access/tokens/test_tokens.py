"""Tokens of an identity provider: :mod:`skyproxy.access.tokens`."""

from __future__ import annotations

import base64
import json
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access.tokens.refusals import InvalidToken, KeysNotKnown
from skyproxy.access.tokens.token_keys import (
    MAX_AGE_SECONDS,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    UNKNOWN_KEY_SECONDS,
    TokenKeys,
)
from skyproxy.access.tokens.verifier import LEEWAY_SECONDS, Verifier
from skyproxy.config.access import TokenSettings

NOW = 1_800_000_000
KEY = ECKey.generate_key("P-256", {"kid": "one"}, private=True)
OTHER = RSAKey.generate_key(2048, {"kid": "two"}, private=True)


def public(*keys: Any) -> dict[str, Any]:
    return dict(KeySet(list(keys)).as_dict(private=False))


def settings(**more: Any) -> TokenSettings:
    return TokenSettings.model_validate({"issuer": "https://i", "audience": "sky", "jwks": "keys.json", **more})


def token(key: Any = KEY, algorithm: str = "ES256", kid: str | None = "one", **claims: Any) -> str:
    header = {"alg": algorithm} if kid is None else {"alg": algorithm, "kid": kid}
    said = {"iss": "https://i", "aud": ["other", "sky"], "exp": NOW + 60, "sub": "lydia", **claims}
    return str(jwt.encode(header, {name: value for name, value in said.items() if value is not None}, key))


class VerifierTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.verifier = Verifier(settings(), public(KEY, OTHER))

    def refused(self, given: str, why: str) -> None:
        with self.assertRaisesRegex(InvalidToken, why):
            self.verifier.verify(given, NOW)

    def test_a_good_one(self) -> None:
        found = self.verifier.verify(token(), NOW)
        self.assertEqual((found.identity.name, found.ends), ("jwt.lydia", NOW + 60 + LEEWAY_SECONDS))
        self.assertTrue(found.identity.may_ask_for("combat"))
        by_rsa = self.verifier.verify(token(OTHER, "RS256", "two"), NOW)
        self.assertEqual(by_rsa.identity.name, "jwt.lydia")
        self.assertNotEqual(by_rsa.identity.key_id, found.identity.key_id)

    def test_claims_that_do_not_hold(self) -> None:
        for claims in (
            {"iss": "https://j"}, {"iss": None}, {"aud": "another"}, {"aud": None}, {"exp": None}, {"exp": NOW - 31},
            {"nbf": NOW + 3600}, {"exp": "soon"},
        ):  # fmt: skip
            self.refused(token(**claims), "does not hold here, or not now|not signed")

    def test_who_it_names(self) -> None:
        self.assertEqual(self.verifier.verify(token(sub="admin"), NOW).identity.name, "jwt.admin")
        for nobody in ("", " ", None):
            self.refused(token(sub=nobody), "names nobody")
        self.refused(token(sub=5), "does not hold|names nobody")
        by_mail = Verifier(settings(client_claim="email"), public(KEY))
        self.assertEqual(by_mail.verify(token(email="l@w.example"), NOW).identity.name, "jwt.l@w.example")

    def test_nobody_has_the_name_of_another(self) -> None:
        long = "repo:whiterun/" + "a" * 60
        given = ["m\u00fcller@w", "m\u00f6ller@w", "m-ller@w", f"{long}/1", f"{long}/2"]
        given += ["\u041b", "\u0414", "a|b", "a/b", "-a", "a"]
        names = [self.verifier.verify(token(sub=each), NOW).identity.name for each in given]
        self.assertEqual(len(set(names)), len(given), names)
        for name in names:
            self.assertRegex(name, r"^jwt\.[A-Za-z0-9._@-]*(~[0-9a-f]{12})?$")
            self.assertLessEqual(len(name), 68)
        self.assertRegex(self.verifier.verify(token(sub="Lydia of\nWhiterun!"), NOW).identity.name, "^jwt.Lydia-of-Whi")
        # Nor can anybody take the name that another one was given.
        taken = names[0].removeprefix("jwt.")
        self.assertNotEqual(self.verifier.verify(token(sub=taken), NOW).identity.name, names[0])

    def test_groups(self) -> None:
        groups = {"staff": {"requests_per_minute": 600}, "players": {"slots": ["default"], "requests_per_minute": 60}}
        verifier = Verifier(settings(groups=groups), public(KEY))
        player = verifier.verify(token(groups=["players"]), NOW).identity
        self.assertEqual((player.limits.requests_per_minute, player.may_ask_for("memory")), (60, False))
        self.assertEqual(
            verifier.verify(token(groups=["players", "staff"]), NOW).identity.limits.requests_per_minute, 600
        )
        self.assertEqual(verifier.verify(token(groups="staff"), NOW).identity.limits.requests_per_minute, 600)
        for none in ([], ["others"], None, 5, {"players": 1}):
            with self.assertRaisesRegex(InvalidToken, "no group"):
                verifier.verify(token(groups=none), NOW)
        for_all = Verifier(settings(groups={**groups, "*": {"concurrent": 1}}), public(KEY))
        self.assertEqual(for_all.verify(token(), NOW).identity.limits.concurrent, 1)

    def test_signatures(self) -> None:
        good = token()
        head, body, signature = good.split(".")
        stranger = ECKey.generate_key("P-256", {"kid": "one"}, private=True)
        none = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).rstrip(b"=").decode()
        as_secret = OctKey.import_key(json.dumps(public(KEY)).encode())
        for bad in (
            f"{head}.{body}.", f"{head}.{body}.{signature[:-4]}AAAA", f"{head}.{body[:-4]}AAAA.{signature}",
            f"{none}.{body}.", token(stranger), token(as_secret, "HS256"), "a.b.c", "", ".", "..", "eyJ.\xff.x",
            "x" * 9000,
        ):  # fmt: skip
            self.refused(bad, "not signed by the identity provider")

    def test_it_ends_although_it_was_good(self) -> None:
        given = token()
        self.verifier.verify(given, NOW)
        with self.assertRaisesRegex(InvalidToken, "not now"):
            self.verifier.verify(given, NOW + 60 + LEEWAY_SECONDS + 1)

    def test_no_token_is_repeated(self) -> None:
        for given in (token(iss="https://j"), token() + "AAAA"):
            try:
                self.verifier.verify(given, NOW)
            except InvalidToken as error:
                for part in given.split("."):
                    self.assertNotIn(part, error.message)
            else:
                self.fail("it is good")

    def test_one_key_that_cannot_be_read_is_no_hindrance_to_others(self) -> None:
        good = public(KEY)["keys"]
        for bad in (
            {"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA", "kid": "new"}, {"kty": "EC", "crv": "P-256"},
            {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA", "kid": "off the curve"}, {"kty": "XYZ"}, {}, None,
            "x", {**good[0], "kid": 7}, {**good[0], "use": "other", "kid": "other"}, {"kty": 5}, {"kty": []}, [], 5,
        ):  # fmt: skip
            for keys in ([bad, *good], [*good, bad]):
                found = Verifier(settings(), {"keys": keys}).verify(token(), NOW)
                self.assertEqual(found.identity.name, "jwt.lydia", bad)

    def test_keys_that_are_none(self) -> None:
        for keys in ({}, {"keys": []}, {"keys": [{}]}, {"keys": "x"}, [], None, {"keys": [{"kty": "RSA"}]}):
            self.assertRaises(ValueError, Verifier, settings(), keys)


class TokenKeysTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[Deferred[Any]] = []
        self.keys = TokenKeys(self.clock, settings(), self.fetch, lambda: NOW)

    def fetch(self) -> Deferred[Any]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def test_before_they_have_come_nobody_is_let_in_and_nobody_waits(self) -> None:
        self.keys.start()
        self.assertRaises(KeysNotKnown, self.keys.verify, token())
        self.asked[0].callback(public(KEY))
        self.assertEqual(self.keys.verify(token()).identity.name, "jwt.lydia")

    def test_they_are_fetched_again_and_a_key_that_is_gone_opens_nothing(self) -> None:
        self.keys.start()
        self.asked[0].callback(public(KEY))
        self.keys.verify(token())
        self.clock.advance(REFRESH_SECONDS)
        self.asked[1].callback(public(OTHER))
        self.assertRaises(InvalidToken, self.keys.verify, token())

    def test_other_settings_take_the_keys_that_have_come(self) -> None:
        self.keys.follow(settings(groups={"staff": {}}))
        self.assertRaises(KeysNotKnown, self.keys.verify, token(groups=["staff"]))
        self.keys.start()
        self.asked[0].callback(public(KEY))
        self.keys.verify(token(groups=["staff"]))
        self.assertRaises(InvalidToken, self.keys.verify, token(groups=["players"]))
        self.keys.follow(settings(groups={"players": {"concurrent": 3}}))
        self.assertEqual(self.keys.verify(token(groups=["players"])).identity.limits.concurrent, 3)
        self.assertRaises(InvalidToken, self.keys.verify, token(groups=["staff"]))
        self.assertEqual(len(self.asked), 1)

    def test_a_new_key_is_fetched_when_a_token_names_it_but_not_for_each(self) -> None:
        self.keys.start()
        self.asked[0].callback(public(KEY))
        self.clock.advance(UNKNOWN_KEY_SECONDS)
        for _ in range(100):
            self.assertRaises(InvalidToken, self.keys.verify, token(OTHER, "RS256", "two"))
        self.assertEqual(len(self.asked), 2)
        self.asked[1].callback(public(KEY, OTHER))
        self.keys.verify(token(OTHER, "RS256", "two"))
        for _ in range(100):
            self.assertRaises(InvalidToken, self.keys.verify, token(kid="made-up"))
        self.assertEqual(len(self.asked), 2)

    def test_a_refused_token_is_looked_at_once(self) -> None:
        self.keys.start()
        self.asked[0].callback(public(KEY))
        looked: list[str] = []
        verify = self.keys.verify
        self.patch(self.keys, "verify", lambda token: looked.append(token) or verify(token))
        bad, worse = token(exp=NOW - 3600), token(kid="made-up")
        self.assertIsNone(self.keys.holder(bad))
        self.assertIsInstance(self.keys.refusal(bad), InvalidToken)
        self.assertEqual(looked, [bad])
        self.assertIsNone(self.keys.holder(bad))
        self.assertIsInstance(self.keys.refusal(worse), InvalidToken)
        self.assertEqual(looked, [bad, bad, worse])

    def test_failures(self) -> None:
        self.keys.start()
        self.asked[0].callback(public(KEY))
        self.clock.advance(REFRESH_SECONDS)
        for number, wait in ((1, RETRY_SECONDS), (2, 2 * RETRY_SECONDS), (3, 4 * RETRY_SECONDS)):
            self.asked[number].errback(OSError("gone"))
            self.keys.verify(token())
            self.clock.advance(wait)
        self.asked[4].callback({"keys": "nonsense"})
        self.keys.verify(token())
        self.clock.pump([MAX_AGE_SECONDS])
        self.assertRaises(KeysNotKnown, self.keys.verify, token())

    def test_the_end(self) -> None:
        self.keys.start()
        self.keys.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.asked), 1)
        self.keys.start()
        self.assertEqual(len(self.asked), 1)
