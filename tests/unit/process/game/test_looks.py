from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from skyproxy.process.game.looks import CannotLook, _output, look_by_ps, look_in_proc, look_of
from skyproxy.process.game.names import Game
from skyproxy.process.game.windows import Entry, process_names

GAME = Game("SkyrimSE.exe")


class ProcTests(SynchronousTestCase):
    """look_in_proc"""

    def setUp(self) -> None:
        self.root = Path(mkdtemp())
        self.addCleanup(rmtree, self.root)
        (self.root / "self").mkdir()
        self.add(1, "systemd", "/sbin/init")
        self.add(2, "kthreadd")

    def add(self, number: int, comm: str, *words: str, state: str = "S") -> None:
        folder = self.root / str(number)
        folder.mkdir()
        (folder / "comm").write_text(f"{comm}\n")
        (folder / "cmdline").write_text("".join(f"{word}\0" for word in words))
        (folder / "stat").write_text(f"{number} ({comm}) {state} 1 1 1 0")

    def look(self) -> bool:
        return look_in_proc(GAME, self.root)

    def test_none(self) -> None:
        self.add(3, "python", "python", "-m", "skyproxy", "run", "--with-game", "SkyrimSE.exe")
        (self.root / "4").mkdir()  # one that ends while it is looked at
        self.assertFalse(self.look())

    def test_by_its_name(self) -> None:
        self.add(3, "SkyrimSE.exe", "whatever")
        self.assertTrue(self.look())

    def test_proton(self) -> None:
        self.add(3, "Main", "/p/wine64-preloader", "/p/wine64", r"C:\Skyrim\SkyrimSE.exe", "-x")
        self.assertTrue(self.look())

    def test_one_that_has_ended(self) -> None:
        self.add(3, "SkyrimSE.exe", state="Z")
        self.assertFalse(self.look())

    def test_itself(self) -> None:
        self.add(os.getpid(), "SkyrimSE.exe", "SkyrimSE.exe")
        self.assertFalse(self.look())

    def test_this_system(self) -> None:
        if not sys.platform.startswith("linux"):
            raise SkipTest("there is no /proc")
        self.assertFalse(look_of("linux")(Game("NobodyHasThis.exe")))
        self.assertTrue(_output(["ps", "-axo", "stat=,comm="]) if os.path.exists("/bin/ps") else True)


class PsTests(SynchronousTestCase):
    """look_by_ps"""

    def look(self, programs: str, lines: str) -> bool:
        answers = {"stat=,comm=": programs, "stat=,args=": lines}
        return look_by_ps(GAME, lambda command: answers[command[-1]])

    def test_it(self) -> None:
        nobody = "Ss   /sbin/launchd\n"
        self.assertFalse(self.look(nobody, nobody))
        self.assertTrue(self.look(f"{nobody}S+   /Applications/My Games/skyrimse\n", nobody))
        self.assertTrue(self.look(nobody, f"{nobody}R    C:\\Program Files\\Skyrim\\SkyrimSE.exe -x\n"))
        self.assertFalse(self.look(f"{nobody}Z    SkyrimSE.exe\n", f"{nobody}Z    SkyrimSE.exe\n"))
        self.assertFalse(self.look(nobody, f"{nobody}S    /v/python /v/skyproxy run --with-game SkyrimSE.exe\n"))
        self.assertIs(look_of("darwin"), look_by_ps)

    def test_no_ps(self) -> None:
        self.assertRaises(CannotLook, _output, ["false"])
        self.assertRaises(OSError, _output, ["/nowhere/ps"])


class Kernel:
    """kernel32, with these processes."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.handle: int | None = 7
        self.closed: list[int] = []

    def CreateToolhelp32Snapshot(self, flags: int, process: int) -> int | None:
        assert (flags, process) == (2, 0)
        return self.handle

    def Process32FirstW(self, snapshot: int, entry: Any) -> int:
        found = ctypes.cast(entry, ctypes.POINTER(Entry)).contents
        assert snapshot == 7 and found.dwSize == ctypes.sizeof(Entry)
        if not self.names:
            return 0
        found.szExeFile = self.names.pop(0)
        return 1

    Process32NextW = Process32FirstW

    def CloseHandle(self, snapshot: int) -> None:
        self.closed.append(snapshot)


class WindowsTests(SynchronousTestCase):
    """process_names"""

    def test_them(self) -> None:
        kernel = Kernel("System", "explorer.exe", "SKYRIMSE.EXE", "x" * 259)
        self.assertEqual(list(process_names(kernel)), ["System", "explorer.exe", "SKYRIMSE.EXE", "x" * 259])
        self.assertEqual(kernel.closed, [7])

    def test_the_first_that_is_it_is_enough(self) -> None:
        kernel = Kernel("SkyrimSE.exe", "a", "b")
        self.assertTrue(any(map(GAME.is_named, process_names(kernel))))
        self.assertEqual(kernel.closed, [7])

    def test_none(self) -> None:
        kernel = Kernel()
        self.assertEqual(list(process_names(kernel)), [])
        for handle in (None, ctypes.c_void_p(-1).value):
            kernel.handle = handle
            self.assertRaises(OSError, list, process_names(kernel))

    def test_the_size_of_an_entry(self) -> None:
        # As Windows' own headers have it, on 64 and on 32 bits.
        unit = ctypes.sizeof(ctypes.c_wchar)
        self.assertEqual(Entry.szExeFile.offset, 44 if ctypes.sizeof(ctypes.c_void_p) == 8 else 36)
        self.assertEqual(Entry.szExeFile.size, 260 * unit)
