"""The page in the user's browser."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.browser import open_page, page_of, shows_windows


class BrowserTests(SynchronousTestCase):
    def test_the_address(self) -> None:
        self.assertEqual(page_of("http://127.0.0.1:35791/v1"), "http://127.0.0.1:35791/")
        self.assertEqual(page_of("https://[::1]:1/v1"), "https://[::1]:1/")
        self.assertIsNone(page_of("unix:/run/skyproxy/socket"))

    def test_a_browser_without_a_window_would_take_the_terminal(self) -> None:
        self.assertFalse(shows_windows("linux", {"DISPLAY": ""}))
        for system, environment in (
            ("linux", {"DISPLAY": ":0"}), ("linux", {"WAYLAND_DISPLAY": "wayland-0"}),
            ("linux", {"BROWSER": "firefox"}), ("win32", {}), ("darwin", {}),
        ):  # fmt: skip
            self.assertTrue(shows_windows(system, environment), (system, environment))

    def test_who_has_no_browser_is_told_the_address(self) -> None:
        def broken(_: str) -> bool:
            raise OSError

        told: list[str] = []
        asked: list[str] = []
        open_page("http://h/", told.extend, lambda each: not asked.append(each), "win32", {})
        self.assertEqual((asked, told), (["http://h/"], []))
        for open_new in (broken, lambda _: False):
            told.clear()
            open_page("http://h/", told.extend, open_new, "win32", {})
            self.assertIn("Type http://h/ into one", told[0])
        told.clear()
        open_page("http://h/", told.extend, lambda each: not asked.append(each), "linux", {})
        self.assertEqual((asked, len(told)), (["http://h/"], 1))
        told.clear()
        open_page(None, told.extend)
        self.assertEqual(len(told), 1)
