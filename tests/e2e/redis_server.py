"""Redis for the tests: Debian's own, on a free port of loopback."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.e2e.processes import PATIENCE, Process, environment


def free_port() -> int:
    """One that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Redis(Process):
    """A Redis that keeps nothing.

    :param port: 0: a free one.
    :param options: of redis-server.
    """

    def __init__(self, cwd: Path, port: int = 0, *options: str) -> None:
        self.port = port or free_port()
        command = ["redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(cwd)]
        super().__init__([*command, *(options or ("--port", str(self.port)))], cwd, environment())
        self.wait_for("Ready to accept connections")
        self.url = f"redis://127.0.0.1:{self.port}"

    def ask(self, command: str) -> str:
        """What it answers to *command*."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            connection.sendall(command.encode() + b"\r\nQUIT\r\n")
            data = b""
            while more := connection.recv(65536):
                data += more
        return data.decode()

    def send(self, *words: bytes) -> bytes:
        """What it answers to a command of any bytes."""
        command = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            connection.sendall(b"*%d\r\n%s*1\r\n$4\r\nQUIT\r\n" % (len(words), command))
            data = b""
            while more := connection.recv(65536):
                data += more
        return data.removesuffix(b"+OK\r\n")

    def calls(self) -> dict[str, int]:
        """How often each command was called since it began."""
        lines = [line for line in self.ask("INFO commandstats").splitlines() if line.startswith("cmdstat_")]
        named = (line.removeprefix("cmdstat_").partition(":calls=") for line in lines)
        return {name: int(rest.partition(",")[0]) for name, _, rest in named}


class Sentinel(Process):
    """Watches over *redis*, and has a replica take its place soon when it is gone."""

    def __init__(self, cwd: Path, redis: Redis) -> None:
        self.port = free_port()
        (cwd / "sentinel.conf").write_text(
            f"port {self.port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {redis.port} 1\n"
            "sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 2000\n"
        )
        super().__init__(["redis-server", "sentinel.conf", "--sentinel"], cwd, environment())
        self.wait_for("[+]slave")
        self.url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{self.port}/main"
