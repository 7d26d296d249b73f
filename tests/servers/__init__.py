"""Real servers for tests: on free loopback ports, stopped by process id, gone when their owner is gone."""

from tests.servers.postgres import Postgres
from tests.servers.process import Missing, Server, free_port
from tests.servers.redis import RedisServer, Valkey
from tests.servers.sentinel import Sentinel
from tests.servers.standby import Standby

__all__ = ["Missing", "Postgres", "RedisServer", "Sentinel", "Server", "Standby", "Valkey", "free_port"]
