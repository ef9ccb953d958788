"""When the first sentence of a stream has come."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.formats.openai.first_sentence import FirstSentence, has_sentence
from skyproxy.formats.openai.reasoning.tags import TAGS
from tests.unit.fakes import event, word


def chunks_until(texts: list[str], *, ascii: bool = True) -> int | None:
    """After how many chunks the first sentence has come; None: never."""
    watch = FirstSentence()
    for number, text in enumerate(texts, 1):
        value = {"choices": [{"delta": {"content": text}}]}
        data = b"data: %b\n\n" % json.dumps(value, ensure_ascii=ascii, separators=(",", ":")).encode()
        if watch.feed(data):
            return number
    return None


class SentenceTests(SynchronousTestCase):
    def test_sentences(self) -> None:
        for text in (
            "Halt there! Who goes",
            'You said: "No lollygagging." Then',
            "Hold on\u2026 I know you",
            "It costs 3.5 septims. Pay.",
            "\u201eIch komme mit.\u201c Sie nickt",
            "\u201aIch komme mit.\u2018 Sie nickt",
            "\u00bbIch komme mit.\u00ab Sie nickt",
            "\u00ab\u0421\u0442\u043e\u0439 \u0442\u0430\u043c!\u00bb \u2014",
            "\u300cI come.\u300d",
            "Mr. Brynjolf sent me. Good",
            "你好。我",
            "\u0642\u0641 \u0647\u0646\u0627\u061f \u0623",
            "\u0631\u06a9\u0648 \u0645\u0633\u0627\u0641\u0631\u06d4 \u062a",
            "\u0930\u0941\u0915\u094b \u092f\u0939\u093e\u0902\u0964 \u0924",
            "Wait here?\nNow",
            "*She sighs deeply.* Well",
            "<think>No. Not this one. </think>All is well. Go",
        ):
            self.assertTrue(has_sentence(text), text)
        for text in (
            "",
            "Halt",
            "Halt! ",
            "Halt there!",
            "It costs 3.5 septims",
            "Mr. Brynjolf",
            "J. R. Tolkien",
            "<think>I should say no. Or yes.",
            "Version 4.1 of it",
        ):
            self.assertFalse(has_sentence(text), text)

    def test_a_stream(self) -> None:
        self.assertEqual(chunks_until(["Halt", " there", "!", " Who", " goes"]), 4)
        self.assertEqual(chunks_until(["It costs 3.", "5", " septims", ".", " Pay"]), 5)
        self.assertEqual(chunks_until(['He said: \\ "Stop it.', '" Now']), 2)
        self.assertEqual(chunks_until(["Hold on", "\u2026", " You"]), 3)
        for sign in ("\u061f", "\u06d4", "\u0964"):
            for ascii in (True, False):
                self.assertEqual(chunks_until(["Hold on", sign, " You"], ascii=ascii), 3, sign)
        self.assertEqual(chunks_until(["Hold on", "\u2026", " You"], ascii=False), 3)
        self.assertEqual(chunks_until(["你好", "。", "我"], ascii=False), 2)
        self.assertEqual(chunks_until(["Halt there. Who"]), 1)
        self.assertEqual(chunks_until(["Halt there. " * 1000]), 1)
        self.assertEqual(chunks_until(["word "] * 5000), None)

    def test_a_sign_of_its_own(self) -> None:
        self.assertEqual(chunks_until(["You may", " enter", ".", " Now"]), 4)
        self.assertEqual(chunks_until(["Traveller", "!", " Who", " goes", " there", "?", " Say"]), 7)
        self.assertEqual(chunks_until(["You owe", " twelve", ".", "50", " septims", ".", " Pay"]), 7)
        self.assertEqual(chunks_until(["I know", " Mr", ".", " Brynjolf", "!", " Do"]), 6)
        self.assertEqual(chunks_until(["<think>", "Perhaps", " another", ".", " Or"]), None)

    def test_spaces_between(self) -> None:
        watch = FirstSentence()
        self.assertEqual([watch.feed(word(text)) for text in ("Halt", " there.", " Who")], [False, False, True])

    def test_many_at_once(self) -> None:
        watch = FirstSentence()
        self.assertFalse(watch.feed(word("Halt") + word(" there") + word(".")))
        self.assertTrue(watch.feed(word(" Who") + word(" goes")))

    def test_thoughts_are_no_sentences(self) -> None:
        watch = FirstSentence()
        for text in ("No, I will not. ", "Or will I? "):
            self.assertFalse(watch.feed(event(choices=[{"index": 0, "delta": {"reasoning_content": text}}])))
        self.assertFalse(watch.said_something)
        self.assertTrue(watch.feed(word("Go away now. I mean it.")))

    def test_thoughts_between_tags(self) -> None:
        for opening, closing in TAGS.items():
            watch = FirstSentence()
            for text in (
                opening,
                "No, I will",
                " not",
                ".",
                " Or will I?",
                " Hm. ",
                f"{closing}\n\n",
                "Go away",
                " now.",
            ):
                self.assertFalse(watch.feed(word(text)), (opening, text))
            self.assertTrue(watch.feed(word(" I mean it.")), opening)

    def test_all_that_was_said_so_far_beside_a_text(self) -> None:
        """Perplexity's."""
        texts = ("<think>", 'He {"}". I', " do.", "</think>", "Go away", " now.", " I mean it.")
        for order in (("message", "delta"), ("delta", "message")):
            watch = FirstSentence()
            for at, text in enumerate(texts):
                both = {
                    "message": {"role": "assistant", "content": "".join(texts[: at + 1])},
                    "delta": {"content": text},
                }
                choice = {"index": 0, **{name: both[name] for name in order}}
                self.assertEqual(watch.feed(event(choices=[choice])), text == texts[-1], text)
        self.assertTrue(FirstSentence().feed(event(choices=[{"message": {"content": "Go away now. I mean it."}}])))

    def test_what_only_begins_like_that(self) -> None:
        """Of which there may be very many in a chunk: each would be read to the end, for seconds, or hours."""
        for begun in (b'"message":{\\"', b'\\""message":{', b'"message":{"a":{'):
            self.assertFalse(FirstSentence().feed(b'data: {"delta":1,' + begun * 100_000))
        texts = [event(choices=[{"message": {"content": "No. It is."}, "delta": {"content": each}}]) for each in "abc"]
        self.assertFalse(FirstSentence().feed(b"".join(texts)))

    def test_texts_that_are_not_said(self) -> None:
        thought = "No, I will not. Or will I? "
        for data in (
            event(type="response.reasoning_summary_text.delta", delta=thought),
            event(type="response.reasoning_text.done", text=thought),
            event(type="response.function_call_arguments.delta", delta=thought),
            event(choices=[{"delta": {"content": None, "reasoning_details": [{"text": thought}]}}]),
            event(choices=[{"delta": {"content": [{"type": "thinking", "thinking": [{"text": thought}]}]}}]),
        ):
            for ending in (b"\n", b"\r\n"):
                watch = FirstSentence()
                self.assertFalse(watch.feed(data.replace(b"\n", ending)), data)
                self.assertFalse(watch.said_something)
                said = event(type="response.output_text.delta", delta="Go away now. I mean it.")
                self.assertTrue(watch.feed((data + said).replace(b"\n", ending)), data)

    def test_what_is_said_beside_a_thought(self) -> None:
        for text in ("Go away now. I mean it.", 'Go "away" now. I mean it.', 'My "reasoning": go. I mean it.'):
            for more in ({"reasoning_content": None}, {"reasoning": "No. Or yes."}):
                watch = FirstSentence()
                self.assertTrue(watch.feed(event(choices=[{"delta": {"content": text, **more}}])), text)
                self.assertTrue(FirstSentence().feed(event(choices=[{"text": text}])), text)

    def test_a_block_of_chunks(self) -> None:
        def block(*texts: str) -> bytes:
            return b"".join(
                b'data: {"choices":[{"delta":{"content":%b}}]}\n\n' % json.dumps(text).encode() for text in texts
            )

        for before, then in (
            (("Halt", " there"), (".", " Who")),
            (("He said", ': "Stop'), (" it!", '" Now')),
            (("Line", "\n"), ("two is here.", "\n", "x")),
        ):
            watch = FirstSentence()
            self.assertFalse(watch.feed(block(*before)), before)
            self.assertTrue(watch.feed(block(*then)), then)
        self.assertTrue(FirstSentence().feed(block("Halt", " there", ".", " Who", *[" more"] * 500)))

    def test_other_forms(self) -> None:
        for data in (
            event(choices=[{"text": "All is well. Go on"}]),
            event(type="response.output_text.delta", delta="All is well. Go on"),
        ):
            watch = FirstSentence()
            self.assertTrue(watch.feed(data))
            self.assertTrue(watch.over)

    def test_a_long_row_of_signs_takes_no_time(self) -> None:
        # Looking at each with all that follow it would take minutes.
        self.assertFalse(has_sentence("Hold on" + "." * 200_000 + "x"))
        self.assertTrue(has_sentence("Hold on" + "." * 200_000 + " Now."))

    def test_it_gives_up(self) -> None:
        watch = FirstSentence()
        for _ in range(3000):
            watch.feed(word("word "))
        self.assertTrue(watch.over)
