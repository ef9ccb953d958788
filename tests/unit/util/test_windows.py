"""skyproxy.util.windows, with a recorder in the place of Windows' libraries."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from unittest import TestCase
from unittest.mock import MagicMock, patch

from skyproxy.util import windows


class Recorder(TestCase):
    def setUp(self) -> None:
        self.library = MagicMock()
        self.library.GetCurrentProcess.return_value = -1
        self.library.OpenProcess.return_value = 77
        for name, value in (
            ("WinDLL", lambda name, use_last_error: self.library),
            ("WINFUNCTYPE", ctypes.CFUNCTYPE),
            ("get_last_error", lambda: 5),
        ):
            patched = patch.object(ctypes, name, value, create=True)
            patched.start()
            self.addCleanup(patched.stop)


class WindowsTests(Recorder):
    def test_a_message_box(self) -> None:
        self.assertTrue(windows.show_error("text"))
        self.library.MessageBoxW.assert_called_once_with(None, "text", "skyproxy", 0x10010)

    def test_console_events_come_to_the_handler(self) -> None:
        seen: list[int] = []

        def handle(event: int) -> bool:
            seen.append(event)
            return event == 2

        end: Any = windows.on_console_events(handle)
        (given, added), _ = self.library.SetConsoleCtrlHandler.call_args
        self.assertEqual((given(2), given(0), added), (1, 0, 1))
        self.assertEqual(seen, [2, 0])
        end()
        self.library.SetConsoleCtrlHandler.assert_called_with(given, 0)
        self.library.SetConsoleCtrlHandler.return_value = 0
        self.assertIsNone(windows.on_console_events(handle))

    def test_a_console_of_its_own(self) -> None:
        for attached, alone in ((1, True), (2, False), (0, False)):
            self.library.GetConsoleProcessList.return_value = attached
            self.assertIs(windows.owns_console(), alone)

    def test_escape_sequences(self) -> None:
        self.library.GetStdHandle.return_value = 7

        def mode(console: Any, pointer: Any) -> int:
            pointer._obj.value = 0x3
            return 1

        self.library.GetConsoleMode.side_effect = mode
        for understood in (1, 0):
            self.library.SetConsoleMode.return_value = understood
            self.assertIs(windows.takes_escapes(), bool(understood))
            console, wanted = self.library.SetConsoleMode.call_args.args
            self.assertEqual((console.value, wanted.value), (7, 0x7))
        self.assertEqual(self.library.GetStdHandle.call_args.args[0].value, -11)
        # A file, or a pipe.
        self.library.GetConsoleMode.side_effect = None
        self.library.GetConsoleMode.return_value = 0
        self.assertFalse(windows.takes_escapes())

    def throttling(self) -> list[tuple[int, int, int]]:
        found = []
        for call in self.library.SetProcessInformation.call_args_list:
            state = call.args[2]._obj
            found.append((state.version, state.control, state.state))
        return found

    def test_priority(self) -> None:
        self.assertEqual(windows.set_priority(raised=True), ())
        self.assertEqual(self.library.SetPriorityClass.call_args.args[1].value, 0x8000)
        self.assertEqual(self.throttling(), [(1, 5, 0)])
        self.assertEqual(self.library.SetProcessInformation.call_args.args[1], 4)
        self.assertEqual(windows.set_priority(raised=False), ())
        self.assertEqual(self.library.SetPriorityClass.call_args.args[1].value, 0x20)
        self.assertEqual(self.throttling()[1:], [(1, 0, 0)])

    def test_windows_10_knows_one_kind_of_throttling(self) -> None:
        self.library.SetProcessInformation.side_effect = [0, 1]
        self.assertEqual(windows.set_priority(raised=True), ())
        self.assertEqual(self.throttling(), [(1, 5, 0), (1, 1, 0)])

    def test_what_is_refused_is_told(self) -> None:
        self.library.SetPriorityClass.return_value = 0
        self.library.SetProcessInformation.return_value = 0
        self.assertEqual(windows.set_priority(raised=True), ("SetPriorityClass", "SetProcessInformation"))

    def test_whether_a_process_runs(self) -> None:
        def tell(code: int) -> Any:
            def get(process: Any, place: Any) -> int:
                place._obj.value = code
                return 1

            return get

        for code, expected in ((259, True), (0, False), (1, False)):
            self.library.GetExitCodeProcess.side_effect = tell(code)
            self.assertEqual(windows.process_runs(77), expected)
        self.assertEqual(self.library.CloseHandle.call_count, 3)
        self.library.OpenProcess.return_value = 0
        self.assertTrue(windows.process_runs(77))  # another user's
        with patch.object(ctypes, "get_last_error", lambda: 87, create=True):
            self.assertFalse(windows.process_runs(77))

    def test_shortcuts(self) -> None:
        def tell(flags: int) -> Any:
            def get(place: Any) -> None:
                place._obj.flags = flags

            return get

        for flags, expected in ((0x801, True), (0x1, False)):
            self.library.GetStartupInfoW.side_effect = tell(flags)
            self.assertEqual(windows.started_from_shortcut(), expected)
        if ctypes.sizeof(ctypes.c_void_p) == 8:
            self.assertEqual(ctypes.sizeof(windows._StartupInfo), 104)

    def test_files_that_others_may_rename(self) -> None:
        with NamedTemporaryFile() as file, patch.dict("sys.modules", msvcrt=MagicMock()) as modules:
            path = Path(file.name)
            path.write_bytes(b"text")
            self.library.CreateFileW.return_value = 7
            modules["msvcrt"].open_osfhandle.side_effect = lambda handle, flags: os.open(path, flags)
            with windows.open_shared(path) as opened:
                self.assertEqual(opened.read(), b"text")
            self.assertEqual(modules["msvcrt"].open_osfhandle.call_args.args[0], 7)
            name, access, sharing, *_ = self.library.CreateFileW.call_args.args
            self.assertEqual((name.value, access.value, sharing.value), (str(path), 0x80000000, 7))
            self.library.CreateFileW.return_value = ctypes.c_void_p(-1).value
            with windows.open_shared(path) as opened:
                self.assertEqual(opened.read(), b"text")
            self.assertRaises(OSError, windows.open_shared, path / "none")

    def test_drives_of_other_computers(self) -> None:
        for kind, expected in ((4, True), (3, False)):
            self.library.GetDriveTypeW.return_value = kind
            self.assertEqual(windows.is_of_network("Z:\\"), expected)


class ElsewhereTests(TestCase):
    def test_nothing_is_done(self) -> None:
        self.assertFalse(windows.show_error("text"))
        self.assertFalse(windows.owns_console())
        self.assertIsNone(windows.on_console_events(lambda event: True))
        self.assertIsNone(windows.set_priority(raised=True))
        self.assertTrue(windows.process_runs(77))
        self.assertFalse(windows.started_from_shortcut())
        self.assertFalse(windows.is_of_network("Z:\\"))
        with windows.open_shared(Path(__file__)) as opened:
            self.assertTrue(opened.read(1))
