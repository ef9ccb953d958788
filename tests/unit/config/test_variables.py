"""What people get wrong in .env: file, line, and what to type; never what stands there."""

from __future__ import annotations

from tests.unit.config.support import PROVIDERS, ConfigTestCase

KEY = "sk-secret-0001"


class EnvFileTests(ConfigTestCase):
    def told(self, text: str, **environ: str) -> list[str]:
        """The warnings of a configuration beside *text*."""
        self.write("proxy.yaml", PROVIDERS)
        self.write(".env", text)
        self.environ = environ
        found = self.load("proxy.yaml").warnings
        self.assertNotIn(KEY, "".join(found))
        return [each.replace(f"{self.cwd}/", "") for each in found]

    def test_what_is_no_variable(self) -> None:
        for line, words in (
            (f"OPENAI_API_KEY: {KEY}", "there is a colon where = is wanted: write NAME=value."),
            (f"OPENAI_API_KEY:{KEY}", "there is a colon where = is wanted: write NAME=value."),
            (f"set OPENAI_API_KEY={KEY}", "this is for the command line: leave out set and write NAME=value."),
            (f"setx OPENAI_API_KEY {KEY}", "this is for the command line: leave out set and write NAME=value."),
            (f'$env:OPENAI_API_KEY="{KEY}"', "this is PowerShell: leave out $env: and write NAME=value."),
            (f'$Env:OPENAI_API_KEY = "{KEY}"', "this is PowerShell: leave out $env: and write NAME=value."),
            (f'OPENAI_API_KEY="{KEY}', "the quote that opens here is not closed."),
            (KEY, "this says nothing: write NAME=value."),
        ):
            told = self.told(f"# keys\n\n{line}\n\nOTHER=1\n")
            self.assertEqual(told[0], f".env:3: {words}", line)
            self.assertIn("'openai' has no key", told[1])

    def test_what_is_well(self) -> None:
        for line in (f"OPENAI_API_KEY={KEY}", f"export OPENAI_API_KEY='{KEY}'  # mine", f"OPENAI_API_KEY = {KEY}",
                     f"openai_api_key={KEY}", f"A=\"x\ny: z\"\nOPENAI_API_KEY={KEY}\nexport A\n#B: c"):  # fmt: skip
            self.assertEqual(self.told(f"\n{line}\n"), [], line)

    def test_backticks_are_quotes(self) -> None:
        for line in (f"OPENAI_API_KEY=`{KEY}`", f"export OPENAI_API_KEY = ` {KEY} `  # mine"):
            self.assertEqual(self.told(f"{line}\n"), [], line)
            (key,) = self.load("proxy.yaml").providers["openai"].api_keys
            self.assertEqual(key.secret.get_secret_value(), KEY, line)
        # Nobody else takes them for that.
        (told,) = self.told("", OPENAI_API_KEY=f"`{KEY}`")
        self.assertIn("has quotes around it", told)

    def test_a_name_that_stands_there_twice(self) -> None:
        (told,) = self.told(f"# new\nOPENAI_API_KEY={KEY}\n# old\nOPENAI_API_KEY=sk-2\n")
        self.assertEqual(told, ".env:4: OPENAI_API_KEY has another value in line 2: the one here counts.")
        # A place to fill in, and the same again.
        self.assertEqual(self.told(f"OPENAI_API_KEY=\nOPENAI_API_KEY={KEY}\nOPENAI_API_KEY={KEY}\n"), [])

    def test_a_name_that_is_nearly_right(self) -> None:
        (told,) = self.told(f"X=1\nOPENAI_KEY={KEY}\n")
        self.assertTrue(told.endswith("or in .env. Line 2 of .env has OPENAI_KEY: is that it?"), told)
        (told,) = self.told("X=1\nOPENAI_KEY=\n")
        self.assertTrue(told.endswith("in .env."), told)

    def test_what_the_environment_hides(self) -> None:
        (told,) = self.told(f"X=1\nOPENAI_API_KEY={KEY}\n", OPENAI_API_KEY="")
        self.assertTrue(told.endswith(" It is empty in the environment, which hides line 2 of .env."), told)

    def test_placeholders(self) -> None:
        for value in (
            "your-key-here",
            "YOUR_API_KEY",
            "<key>",
            "sk-xxxxxxxx",
            "...",
            "changeme",
            "insert-your-key-here",
        ):
            (told,) = self.told(f"\nOPENAI_API_KEY={value}\n")
            self.assertEqual(told, ".env:2: OPENAI_API_KEY looks as if the key were still to be put there.")
        for value in ("${OPENAI_KEY}", "$OPENAI_KEY", "%OPENAI_KEY%"):
            (told,) = self.told(f"OPENAI_API_KEY={value}\n")
            self.assertIn(".env:1: OPENAI_API_KEY names another variable", told)
        (told,) = self.told("", OPENAI_API_KEY=f'"{KEY}"')
        self.assertIn("environment: OPENAI_API_KEY has quotes around it", told)
        for value in ("ollama", "lm-studio", "sk-proj-abcx", "mykey1", "your-0001", "pa$sw0rd", "$ecret-1", "50%"):
            self.assertEqual(self.told(f"OPENAI_API_KEY={value}\n"), [])

    def test_more_than_the_key(self) -> None:
        for value, words in (
            (f"Bearer {KEY}", "leave out the word Bearer"),
            (f"\u201c{KEY}\u201d", "leave out the curly quotes"),
            ("sk-secret 0001", "must be ASCII without spaces"),
        ):
            self.write("proxy.yaml", PROVIDERS)
            self.write(".env", f"\n\nOPENAI_API_KEY={value}\n")
            (line,) = self.problems("proxy.yaml")
            self.assertTrue(line.startswith(".env:3: OPENAI_API_KEY: must be"), line)
            self.assertIn(words, line)
            self.assertNotIn("sk-secret", line)

    def test_a_header_that_needs_one(self) -> None:
        self.write("proxy.yaml", PROVIDERS + "    headers: {X-Org: '${MY_ORG_ID}'}\n")
        self.write(".env", "MY_ORG=1\n")
        (line,) = self.problems("proxy.yaml")
        self.assertTrue(line.endswith("in .env. Line 1 of .env has MY_ORG: is that it?"), line)
