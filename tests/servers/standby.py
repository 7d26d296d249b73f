"""A streaming replica of a PostgreSQL server, which stands still and goes on when a test says so."""

from __future__ import annotations

import subprocess

from tests.patience import until
from tests.servers.postgres import Postgres


class Standby(Postgres):
    """A hot standby: it has whatever its primary has, as far as it was replayed."""

    name = "cachekit_standby"

    def __init__(self, primary: Postgres, *options: str) -> None:
        super().__init__(*options)
        self.primary = primary

    def prepare(self) -> None:
        data, user = self.folder / "data", self.user
        data.mkdir(mode=0o700)
        address = f"host=127.0.0.1 port={self.primary.port} user=postgres application_name={self.name}"
        words = ["-d", address, "-D", str(data), "-R", "-X", "stream", "-c", "fast", "--no-sync"]
        made = subprocess.run(
            [str(self.programs / "pg_basebackup"), *words], check=False, capture_output=True, text=True, cwd=self.folder
        )
        if made.returncode:
            raise RuntimeError(f"pg_basebackup failed: {made.stderr.strip()}")
        (data / "postmaster.pid").unlink(missing_ok=True)
        if user:
            subprocess.run(["chown", "-R", user, str(self.folder)], check=True)

    def stand_still(self) -> None:
        """Replay nothing any more, for as long as a test wants."""
        self.ask("SELECT pg_wal_replay_pause()")
        until(lambda: self.ask("SELECT pg_get_wal_replay_pause_state()") == "paused")

    def go_on(self) -> None:
        """Replay, and return when all that the primary has committed by now is there."""
        self.ask("SELECT CASE WHEN pg_is_wal_replay_paused() THEN pg_wal_replay_resume() END")
        # this commit is waited for, and takes along those before it, for which nobody has waited
        self.primary.ask(
            "SELECT pg_logical_emit_message(true, '', '') FROM set_config('synchronous_commit', 'local', false)"
        )
        end = self.primary.ask("SELECT pg_current_wal_flush_lsn()")
        until(lambda: self.ask(f"SELECT pg_last_wal_replay_lsn() >= '{end}'"))

    def cut_off(self) -> None:
        """Hear nothing more of the primary, once all that it has committed by now is there."""
        self.go_on()
        self.ask("ALTER SYSTEM SET primary_conninfo = ''")
        self.ask("SELECT pg_reload_conf()")
        until(lambda: not self.ask("SELECT count(*) FROM pg_stat_wal_receiver"))

    def promote(self) -> None:
        """Become a primary of its own, on another timeline."""
        assert self.ask("SELECT pg_promote()")
