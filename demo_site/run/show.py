"""The demo's course: clean up, start the servers, fill the shop, watch over it, stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from demo_site.run import ports, smoke, valkey
from demo_site.run.children import Children, Trouble
from demo_site.state import state_dir

__all__ = ["Trouble", "run"]

ROOT = Path(__file__).resolve().parent.parent.parent
WEB_WITHIN = 30.0


def run(*, port: int, limit: int | None, smoke: bool) -> None:
    """Run the demo until a signal comes, a process dies, or the smoke test is through. Raises Trouble."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    children = Children(state_dir())
    if stopped := children.clean_up():
        say(f"Stopped {stopped} processes of a run that was killed.")
    port = _port(port)
    try:
        _serve(children, port, limit)
        if smoke:
            _smoke(port)
        else:
            _watch(children)
    except KeyboardInterrupt:
        say("\nStopping …")
    finally:
        # A second Ctrl-C must not leave processes behind; each is killed if it takes longer than ten seconds.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        children.stop()


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def commands(folder: Path, port: int) -> dict[str, list[str]]:
    """Return the command line of each process, by name."""
    python = [sys.executable, "-m"]
    celery = [*python, "celery", "-A", "demo_site"]
    return {
        "web": [
            *[*python, "gunicorn", "demo_site.wsgi:application", "--bind", f"{ports.HOST}:{port}"],
            *["--config", str(ROOT / "demo_site/deploy/gunicorn.conf.py"), "--pid", str(folder / "web.pid")],
        ],
        "worker": [*celery, "worker", "--concurrency=2", "--loglevel=INFO", f"--pidfile={folder / 'worker.pid'}"],
        "beat": [*celery, "beat", f"--pidfile={folder / 'beat.pid'}", f"--schedule={folder / 'beat-schedule'}"],
    }


def _serve(children: Children, port: int, limit: int | None) -> None:
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "demo_site.settings", "PYTHONUNBUFFERED": "1"}
    env["DEMO_DIR"] = str(children.folder)
    if not env.get("CACHE_URL"):
        env["CACHE_URL"] = valkey.serve(children, env)
    _manage(env, "prepare_demo", *([f"--limit={limit}"] if limit else []))
    env["PROMETHEUS_MULTIPROC_DIR"] = str(_emptied(children.folder / "metrics"))
    for name, command in commands(children.folder, port).items():
        (children.folder / f"{name}.pid").unlink(missing_ok=True)
        children.start(name, command, env)
        if name == "web":  # worker and beat start once the shop is open: they would only slow it down
            _wait_for_web(children, port)
    say(
        f"\n  Shop       http://localhost:{port}/\n"
        f"  Staff      http://localhost:{port}/admin/\n"
        f"  Dashboard  http://localhost:{port}/admin/cachekit/\n"
        f"  Metrics    http://localhost:{port}/metrics\n"
        f"  Logs       {children.folder / 'log'}\n"
    )


def _port(wanted: int) -> int:
    if wanted == 0:
        return ports.any_free()
    if not ports.is_free(wanted):
        raise Trouble(f"port {wanted} is taken by another program. Choose another: PORT={wanted + 1} make demo")
    return wanted


def _manage(env: Mapping[str, str], *words: str) -> None:
    """Run a command of manage.py on this terminal. Raises Trouble if it fails."""
    command = [sys.executable, str(ROOT / "manage.py"), *words]
    # A session of its own: Ctrl-C comes to us, who stop it without a traceback of its own.
    done = subprocess.run(command, env=dict(env), start_new_session=True, check=False)  # noqa: S603
    if done.returncode:
        raise Trouble(f"'manage.py {' '.join(words)}' failed with status {done.returncode}; see above.")


def _wait_for_web(children: Children, port: int) -> None:
    end = time.monotonic() + WEB_WITHIN
    while time.monotonic() < end:
        children.check()
        try:
            with urllib.request.urlopen(f"http://{ports.HOST}:{port}/healthz/", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise Trouble(children.story("web", f"the shop did not answer within {WEB_WITHIN:.0f} s"))


def _watch(children: Children) -> None:
    say("Ctrl-C stops everything.")
    while True:
        time.sleep(0.5)
        children.check()


def _smoke(port: int) -> None:
    if problem := smoke.problem(f"http://{ports.HOST}:{port}"):
        raise Trouble(problem)
    say("Smoke test: a product page was a miss, then a hit without SQL.")


def _emptied(folder: Path) -> Path:
    """Return the folder without the counts of processes that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.db"):
        old.unlink()
    return folder


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
