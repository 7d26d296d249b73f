"""The demo shop as its users start it: gunicorn, SQLite and a Valkey, as processes of one test."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from tests.servers import Server, Valkey

ROOT = Path(__file__).parents[2]
STONES = 1200
PASSWORD = "only-for-tests"
PREPARE = """
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("load_diamonds", limit={stones})
call_command("create_staff")
"""


class Gunicorn(Server):
    """The shop's web server, with one worker: what a test counts is in one process."""

    def __init__(self, env: dict[str, str]) -> None:
        super().__init__()
        self.env = env

    @property
    def url(self) -> str:
        """The address of the shop."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        words = ["demo_site.wsgi:application", "--config", str(ROOT / "demo_site/deploy/gunicorn.conf.py")]
        address = ["--bind", f"127.0.0.1:{self.port}", "--chdir", str(ROOT)]
        return ["env", *(f"{name}={value}" for name, value in self.env.items()), *gunicorn(*words, *address)]

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz/", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False


class Shop:
    """A stocked shop with a member of staff; a context manager."""

    def __init__(self, stones: int = STONES) -> None:
        self.stones = stones
        self.valkey = Valkey("--appendonly", "yes")  # as in the demo: what was stored is there after a restart
        self.web = Gunicorn({})

    @property
    def env(self) -> dict[str, str]:
        """What tells a process of the demo where its things are."""
        return {
            "CACHE_URL": f"{self.valkey.url}?socket_timeout=20&socket_connect_timeout=20",  # a busy machine is no fault
            "DEMO_DIR": str(self.valkey.folder),
            "DEMO_PASSWORD": PASSWORD,
            "DJANGO_SETTINGS_MODULE": "demo_site.settings",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "WEB_WORKERS": "1",
        }

    def __enter__(self) -> Self:
        self.valkey.start()
        try:
            self.run(PREPARE.format(stones=self.stones))
            self.web.env = self.env
            self.web.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.web.stop()
        self.valkey.stop()

    def run(self, program: str) -> str:
        """Run some Python in a process of the shop; return what it prints."""
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **self.env},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def empty(self) -> None:
        """Forget everything that is cached or counted, and every session's copy in the cache."""
        assert self.valkey.say("FLUSHALL").startswith("+OK")


def gunicorn(*words: str) -> list[str]:
    """Return gunicorn's command line."""
    return [sys.executable, "-m", "gunicorn", *words]
