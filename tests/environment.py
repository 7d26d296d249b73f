"""The servers and the folder of one pytest process, named in its environment for settings and subprocesses."""

from __future__ import annotations

import os
import shutil
import tempfile

from tests import bytecode
from tests.servers import Postgres, Valkey


class Environment:
    """One Valkey, one folder for SQLite files and, where CACHEKIT_TEST_DATABASE asks for it, one PostgreSQL."""

    def __init__(self) -> None:
        self.valkey = Valkey()
        self.postgres = Postgres() if os.environ.get("CACHEKIT_TEST_DATABASE") == "postgres" else None
        self.folder = tempfile.mkdtemp(prefix="cachekit-test-db-", dir=self.valkey.folder)

    def start(self) -> None:
        """Start the servers and name them in the environment, before Django reads its settings."""
        bytecode.keep(os.environ)
        self.valkey.start()
        os.environ["CACHEKIT_TEST_REDIS_URL"] = self.valkey.url
        os.environ["CACHEKIT_TEST_FOLDER"] = self.folder
        if self.postgres:
            self.postgres.start()
            os.environ["CACHEKIT_TEST_POSTGRES_PORT"] = str(self.postgres.port)
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

    def stop(self) -> None:
        """Stop what `start` started."""
        self.valkey.stop()
        if self.postgres:
            self.postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def wipe(self) -> None:
        """Empty this process's own Valkey."""
        if not self.valkey.say("FLUSHALL").startswith("+OK"):
            raise RuntimeError("the session's Valkey did not answer FLUSHALL: a test stopped it and left it so")
