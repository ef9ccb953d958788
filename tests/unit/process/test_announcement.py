from __future__ import annotations

import json
import shlex

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.announcement import curl

WHERE = "http://127.0.0.1:35791/v1"

MODELS = ("default", "it's", 'a "b" \\', "a:b c", "caf\u00e9", "50%", "a&b|c>d")


class CurlTests(SynchronousTestCase):
    """skyproxy.process.announcement.curl"""

    def check(self, words: list[str], model: str) -> None:
        self.assertEqual(words[:3], ["curl", "-N", f"{WHERE}/chat/completions"])
        self.assertEqual(words[3:6], ["-H", "Content-Type: application/json", "-d"])
        self.assertEqual(len(words), 7)
        body = json.loads(words[6])
        self.assertEqual((body["model"], body["stream"]), (model, True))

    def test_a_posix_shell_reads_it(self) -> None:
        for model in MODELS:
            self.check(shlex.split(curl(WHERE, model, windows=False)), model)

    def test_cmd_and_the_c_library_of_windows_read_it(self) -> None:
        for model in MODELS:
            line = curl(WHERE, model, windows=True)
            self.assertNotIn("'Content", line)
            self.check(windows_words(line), model)

    def test_a_line_for_windows_as_it_looks(self) -> None:
        self.assertEqual(
            curl(WHERE, "default", windows=True),
            f'curl -N {WHERE}/chat/completions -H "Content-Type: application/json" -d '
            r'"{\"model\":\"default\",\"stream\":true,\"messages\":[{\"role\":\"user\",'
            r'\"content\":\"Who goes there?\"}]}"',
        )


def windows_words(line: str) -> list[str]:
    """*line* as the C library of Windows parts it: 2n backslashes before a quote are n, and one more escapes it."""
    words, word, quoted, number = [], "", False, 0
    while number < len(line):
        letter = line[number]
        run = len(line) - number - len(line[number:].lstrip("\\"))
        if run:
            if line[number + run : number + run + 1] == '"':
                word += "\\" * (run // 2)
                if run % 2:
                    word += '"'
                    run += 1
            else:
                word += "\\" * run
            number += run
            continue
        if letter == '"':
            quoted = not quoted
        elif letter == " " and not quoted:
            words.append(word)
            word = ""
        else:
            word += letter
        number += 1
    return [*words, word]
