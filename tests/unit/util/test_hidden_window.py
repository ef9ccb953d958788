"""skyproxy.util.hidden_window, with a recorder in the place of Windows' library."""

from __future__ import annotations

import ctypes
import queue
import threading
from typing import Any
from unittest import TestCase
from unittest.mock import MagicMock, patch

from skyproxy.util.hidden_window import CLOSED, ENDED, _Message, _WindowClass, on_window_messages

PATIENCE = 30.0
PROCEDURE = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_size_t, ctypes.c_ssize_t)


class HiddenWindowTests(TestCase):
    def setUp(self) -> None:
        self.messages: queue.Queue[tuple[int, int] | None] = queue.Queue()
        self.answers: queue.Queue[int] = queue.Queue()
        self.gone = threading.Event()
        self.events: list[int] = []
        library = self.library = MagicMock()
        library.RegisterClassW.side_effect = self.register
        library.CreateWindowExW.return_value = 77
        library.GetMessageW.side_effect = self.get
        library.PostMessageW.side_effect = lambda window, number, *rest: self.messages.put((number, 0))
        library.DestroyWindow.side_effect = lambda window: self.messages.put((0x2, 0))
        library.PostQuitMessage.side_effect = lambda code: self.messages.put(None)
        library.DefWindowProcW.return_value = 5
        library.UnregisterClassW.side_effect = lambda *_: self.gone.set()
        for name, value in (("WinDLL", lambda name, use_last_error: library), ("WINFUNCTYPE", ctypes.CFUNCTYPE)):
            patched = patch.object(ctypes, name, value, create=True)
            patched.start()
            self.addCleanup(patched.stop)

    def register(self, kind: Any) -> int:
        self.procedure = PROCEDURE(kind._obj.procedure)
        return 1

    def get(self, *_: Any) -> int:
        message = self.messages.get(timeout=PATIENCE)
        if message is None:
            return 0
        self.answers.put(self.procedure(77, *message, 0))
        return 1

    def ask(self, number: int, first: int = 0) -> int:
        self.messages.put((number, first))
        return self.answers.get(timeout=PATIENCE)

    def test_messages(self) -> None:
        leave: Any = on_window_messages(self.events.append)
        self.assertEqual(self.ask(0x11), 1)
        self.assertEqual(self.ask(0x16, 0), 0)
        self.assertEqual(self.events, [])
        self.assertEqual(self.ask(0x16, 1), 0)
        self.assertEqual(self.ask(0x10), 0)
        self.assertEqual(self.events, [ENDED, CLOSED])
        self.assertEqual(self.ask(0x81), 5)
        self.library.DefWindowProcW.assert_called_once_with(77, 0x81, 0, 0)
        leave()
        self.assertTrue(self.gone.wait(PATIENCE))
        self.library.DestroyWindow.assert_called_once_with(77)

    def test_without_a_window(self) -> None:
        self.library.CreateWindowExW.return_value = None
        leave: Any = on_window_messages(self.events.append)
        self.assertTrue(self.gone.wait(PATIENCE))
        leave()
        self.library.GetMessageW.assert_not_called()
        self.library.PostMessageW.assert_not_called()

    def test_without_a_class(self) -> None:
        asked = threading.Event()

        def refuse(kind: Any) -> int:
            asked.set()
            return 0

        self.library.RegisterClassW.side_effect = refuse
        on_window_messages(self.events.append)
        self.assertTrue(asked.wait(PATIENCE))
        self.library.CreateWindowExW.assert_not_called()

    def test_the_structures_have_the_sizes_that_windows_gives_them(self) -> None:
        if ctypes.sizeof(ctypes.c_void_p) == 8:
            self.assertEqual((ctypes.sizeof(_WindowClass), ctypes.sizeof(_Message)), (72, 48))


class ElsewhereTests(TestCase):
    def test_there_are_none(self) -> None:
        self.assertIsNone(on_window_messages(lambda event: None))
