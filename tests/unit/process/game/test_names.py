from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.game.names import Game

GAME = Game("SkyrimSE.exe")
IN_Z = r"Z:\home\me\.steam\steamapps\common\Skyrim Special Edition\SkyrimSE.exe"


class GameTests(SynchronousTestCase):
    """Game"""

    def test_its_name(self) -> None:
        for given in ("SkyrimSE.exe", r"C:\Games\Skyrim\SkyrimSE.exe", "/games/SkyrimSE.exe", " SkyrimSE.exe "):
            self.assertEqual(Game(given).name, "SkyrimSE.exe")
        self.assertEqual(Game("").name, "")
        for game in (GAME, Game("skyrimse"), Game("SKYRIMSE.EXE")):
            for name in ("SkyrimSE.exe", "skyrimse.EXE", "SkyrimSE", r"C:\x\SkyrimSE.exe"):
                self.assertTrue(game.is_named(name), name)
            for name in ("SkyrimSE.exe.bak", "SkyrimSELauncher.exe", "xSkyrimSE.exe", "", r"C:\SkyrimSE.exe\x.exe"):
                self.assertFalse(game.is_named(name), name)

    def test_comm(self) -> None:
        self.assertTrue(GAME.is_comm(b"SkyrimSE.exe") and GAME.is_comm(b"skyrimse"))
        self.assertFalse(GAME.is_comm(b"SkyrimSE.ex") or GAME.is_comm(b"skyproxy") or GAME.is_comm(b"\xff"))
        cut = Game("AVeryLongGameName.exe")
        self.assertTrue(cut.is_comm(b"AVeryLongGameNa"))
        self.assertFalse(cut.is_comm(b"AVeryLongGame"))

    def test_commands(self) -> None:
        for words in (
            [IN_Z],
            [IN_Z, "-forcesteamloader"],
            ["SkyrimSE.exe"],
            ["/games/skyrimse.exe"],
            ["/proton/files/bin/wine64-preloader", "/proton/files/bin/wine64", IN_Z],
            ["/usr/bin/wine-preloader", "SkyrimSE.exe"],
            ["wine", r"c:\skyrimse.exe"],
        ):
            self.assertTrue(GAME.is_command(words), words)
            self.assertTrue(GAME.is_line(" ".join(words)), words)
        for words in (
            [],
            ["python", "-m", "skyproxy", "run", "--with-game", "SkyrimSE.exe"],
            ["/v/bin/python", "/v/bin/skyproxy", "run", "--with-game", "SkyrimSE.exe"],
            [
                "/steam/reaper",
                "SteamLaunch",
                "AppId=489830",
                "--",
                "/proton/proton",
                "waitforexitandrun",
                "/g/SkyrimSE.exe",
            ],
            ["grep", "SkyrimSE.exe"],
            ["vim", "/games/SkyrimSE.exe"],
            ["/usr/bin/vim", "/games/SkyrimSE.exe"],
            [r"c:\windows\notepad.exe", r"c:\games\SkyrimSE.exe"],
            [IN_Z + ".log"],
            ["/usr/bin/wine64-preloader", "explorer.exe", "/desktop", "x", "SkyrimSE.exe"],
        ):
            self.assertFalse(GAME.is_command(words), words)
        for line in ("/v/bin/python /v/bin/skyproxy run --with-game SkyrimSE.exe", "/usr/bin/vim /games/SkyrimSE.exe"):
            self.assertFalse(GAME.is_line(line), line)
