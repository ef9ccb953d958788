"""Files that cannot be read, as text or as YAML."""

from __future__ import annotations

from tests.unit.config.support import PROVIDERS, ConfigTestCase


class FileTests(ConfigTestCase):
    def test_empty(self) -> None:
        for text in ("", "# nothing\n", "---\n"):
            self.assertEqual(self.problems_of(text), ["proxy.yaml: the file is empty"])

    def test_no_mapping(self) -> None:
        for text in ("- a\n", "text\n", "OPENAI_API_KEY=sk-secret\n"):
            self.assertEqual(self.problems_of(text), ["proxy.yaml:1: must be a mapping of keys to values at its top"])

    def test_not_utf_8(self) -> None:
        (self.cwd / "proxy.yaml").write_bytes(b"proxy:\n  log_file: caf\xe9\n")
        (line,) = self.problems("proxy.yaml")
        self.assertTrue(line.startswith("proxy.yaml:2: is not UTF-8: save it in that encoding"), line)

    def test_byte_order_mark_and_crlf(self) -> None:
        (self.cwd / "proxy.yaml").write_bytes(b"\xef\xbb\xbf" + PROVIDERS.replace("\n", "\r\n").encode())
        self.assertEqual(len(self.load("proxy.yaml").providers), 2)

    def test_what_windows_own_programs_write(self) -> None:
        text = PROVIDERS.lstrip().replace("\n", "\r\n")
        self.environ.clear()
        for encoding, mark in (
            ("utf-16-le", b"\xff\xfe"),
            ("utf-16-be", b"\xfe\xff"),
            ("utf-16-le", b""),
            ("utf-16-be", b""),
        ):
            (self.cwd / "proxy.yaml").write_bytes(mark + text.encode(encoding))
            (self.cwd / ".env").write_bytes(mark + "OPENAI_API_KEY=sk-1\r\n".encode(encoding))
            config = self.load("proxy.yaml")
            self.assertEqual(list(config.providers), ["openai", "lm"])
            self.assertEqual(config.providers["openai"].secrets, ("sk-1",))

    def test_without_a_mark_letters_may_be_any(self) -> None:
        for encoding in ("utf-16-le", "utf-16-be"):
            (self.cwd / ".env").write_bytes("Ключ\r\nOPENAI_API_KEY=sk-1\r\n# 鍵\r\n".encode(encoding))
            config = self.load_text(PROVIDERS)
            self.assertEqual(config.providers["openai"].secrets, ("sk-1",))

    def test_what_powershell_appends(self) -> None:
        self.write("proxy.yaml", PROVIDERS)
        for before in ("# Schlüssel\n", "A=12\r\n", "A=123\r\n"):
            for after in ("OPENAI_API_KEY=sk-1\r\n", "# 鍵\r\nB=2\r\n"):
                (self.cwd / ".env").write_bytes(before.encode() + after.encode("utf-16-le"))
                (line,) = self.problems("proxy.yaml")
                self.assertRegex(line, r"^\.env:2: is in UTF-16 from here on, as PowerShell's >> writes")

    def test_what_is_no_text(self) -> None:
        self.write("proxy.yaml", PROVIDERS)
        # What a file may hold after the power failed, and a letter that has lost its other half.
        for data in (bytes(64), b"OPENAI_API_KEY=sk-1\n" + bytes(43), b"A=1\n\0", b"A=1\0" + b"x" * 40):
            (self.cwd / ".env").write_bytes(data)
            (line,) = self.problems("proxy.yaml")
            self.assertRegex(line, r"^\.env(:2)?: is (no text in|not) UTF-8.*: save it in that encoding")

    def test_control_character(self) -> None:
        self.assertEqual(
            self.problems_of("a: 1\nb: \x01\n"),
            ["proxy.yaml:2: is not valid YAML: it has a control character, which cannot be seen: delete it"],
        )

    def test_too_large(self) -> None:
        self.write("proxy.yaml", "#" * (1024 * 1024) + "\n")
        self.assertEqual(self.problems("proxy.yaml"), ["proxy.yaml: is larger than 1048576 bytes"])

    def test_unreadable(self) -> None:
        self.write("here/providers.yaml", PROVIDERS)
        (self.cwd / "here" / "routes.yaml").mkdir()
        (line,) = self.problems("here")
        self.assertRegex(line, r"^here/routes\.yaml: cannot be read: \w+")


class YamlTests(ConfigTestCase):
    def test_syntax(self) -> None:
        self.assertEqual(
            self.problems_of("proxy:\n  a: b: c\n"),
            [
                "proxy.yaml:2: is not valid YAML: a value with a colon and a space in it takes quotes: put all of it "
                "in ' '"
            ],
        )
        self.assertEqual(
            self.problems_of("a: 1\n---\nb: 1\n"),
            ["proxy.yaml:2: is not valid YAML: another document begins here: leave out the line ---"],
        )

    def test_tabs(self) -> None:
        for text in ("proxy:\n\tlog_level: info\n", "proxy:\n  log_level: info\n\tlog_file: x\n"):
            line = text.count("\n", 0, text.index("\t")) + 1
            self.assertEqual(
                self.problems_of(text),
                [f"proxy.yaml:{line}: is not valid YAML: it is indented with a tab, where YAML wants spaces"],
            )

    def test_errors_repeat_no_text(self) -> None:
        for text in ("a: *sk-secret\n", "a: !sk-secret!x y\n", "a: !sk-secret y\n", "%sk-secret\n---\na: 1\n",
                     "a: 'sk-secret\n", "a: [sk-secret\n", "a: !!int sk-secret\n", "- sk-secret",
                     "providers: {a: sk-secret}", "providers: {a: {base_url: 'http://u:sk-secret@h'}}",
                     "providers: {a: {base_url: 'http://h', api_key_env: sk-secret}}",
                     "providers: {a: {base_url: 'http://h', api_key: sk-secret}}",
                     "providers: {a: {base_url: 'http://h', auth_header: 'Authorization: Bearer sk-secret'}}",
                     "providers: {a: {base_url: 'http://h', headers: {Authorization: sk-secret}}}",
                     "providers: {a: {base_url: 'http://h', dialect: sk-secret, http2: sk-secret}}",
                     "providers: {a: {base_url: 'http://h', keep_alive: sk-secret, max_pending: sk-secret}}",
                     "proxy: {listen: sk-secret, log_level: sk-secret, max_body: sk-secret}"):  # fmt: skip
            for line in self.problems_of(text):
                self.assertNotIn("sk-secret", line, text)

    def test_too_deep(self) -> None:
        for text in ("[" * 100_000, "a: " + "[" * 100 + "]" * 100, "a: &a [*a]\n", "a: &a {<<: *a}\n"):
            self.assertEqual(self.problems_of(text), ["proxy.yaml:1: is nested too deep"], text[:20])

    def test_alias_bombs(self) -> None:
        listed = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))
        merged = "a0: &a0 {x: 1}\n" + "".join(
            f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 10)
        )
        for text in (listed, merged):
            (message,) = self.problems_of(text)
            self.assertIn("holds too many values, counting aliases", message)

    def test_too_many_values(self) -> None:
        (message,) = self.problems_of("a: [" + "1," * 120_000 + "]")
        self.assertEqual(message, "proxy.yaml:1: holds too many values")

    def test_keys_that_are_no_texts(self) -> None:
        self.assertEqual(
            self.problems_of(PROVIDERS + "model_slots:\n  1: {provider: lm, model: m}\n  [a]: {}\n"),
            [
                "proxy.yaml:9: model_slots.1: must be a text to be a key here: put it in quotes",
                "proxy.yaml:10: model_slots: must be a text to be a key here: put it in quotes",
            ],
        )

    def test_values_that_are_not_what_their_tag_or_form_says(self) -> None:
        for value in ("!!timestamp x", "!!int ''", "!!bool x", "!!float x", "!!binary é", "!own x",
                      "1" + ":1" * 300 + ".0", "9" * 5000):  # fmt: skip
            (line,) = self.problems_of(PROVIDERS + f"model_slots:\n  s:\n    model: {value}\n    provider: lm\n")[:1]
            self.assertRegex(
                line, "^proxy.yaml:10: model_slots.s.model: (looks like|must be|begins with !)", value[:20]
            )

    def test_values_that_are_nothing(self) -> None:
        text = 'proxy:\n  a: 2024-99-99\n  b: !!python/none x\n  c: "\\ud800"\n'
        self.assertEqual(
            [line for line in self.problems_of(PROVIDERS + text) if "unknown key" not in line],
            [
                "proxy.yaml:9: proxy.a: looks like a date, a number or the like, and is none: put it in quotes",
                "proxy.yaml:10: proxy.b: looks like a date, a number or the like, and is none: put it in quotes",
                "proxy.yaml:11: proxy.c: contains half of a surrogate pair, which is no character",
            ],
        )

    def test_merge_of_no_mapping(self) -> None:
        self.assertEqual(
            self.problems_of(PROVIDERS + "model_slots: {a: {<<: [x], provider: lm, model: m}}"),
            ["proxy.yaml:8: model_slots.a.<<: must name a mapping, or a list of them"],
        )
