"""A sentinel that watches over one master, alone: its own word is enough for a failover."""

from __future__ import annotations

from tests.servers.redis import RedisServer, Valkey

SERVICE = "mymaster"


class Sentinel(Valkey):
    """The Valkey server in its sentinel mode; it finds the replicas by asking the master."""

    def __init__(self, master: RedisServer, *lines: str, service: str = SERVICE, down_after: int = 60_000) -> None:
        super().__init__()
        self.service = service
        self.lines = [
            f"sentinel monitor {service} 127.0.0.1 {master.port} 1",
            f"sentinel down-after-milliseconds {service} {down_after}",
            f"sentinel failover-timeout {service} 5000",
            *lines,
        ]

    def prepare(self) -> None:
        (self.folder / "sentinel.conf").write_text("\n".join([*self.lines, ""]))

    def command(self) -> list[str]:
        conf = str(self.folder / "sentinel.conf")
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        return [self.binary, conf, "--sentinel", *where]

    def answers(self) -> bool:
        return f"process_id:{self.pid}\r\n" in self.say("INFO server", seconds=2) or "NOAUTH" in self.say(
            "PING", seconds=2
        )

    @property
    def address(self) -> tuple[str, int]:
        """Where it is asked."""
        return "127.0.0.1", self.port

    @property
    def master_port(self) -> int:
        """The port of the server that it takes for the master."""
        return int(self.say(f"SENTINEL GET-MASTER-ADDR-BY-NAME {self.service}").split("\r\n")[4])

    def knows(self, replica: RedisServer) -> bool:
        """Tell whether it would promote this replica."""
        words = self.say(f"SENTINEL REPLICAS {self.service}").split("\r\n")
        fields = dict(zip(words[3::4], words[5::4], strict=False))  # one replica: each word has a length before it
        return fields.get("port") == str(replica.port) and fields.get("master-link-status") == "ok"
