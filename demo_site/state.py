"""Where the demo keeps what it makes: database, server data, logs and the secret key."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from django.core.management.utils import get_random_secret_key


def state_dir() -> Path:
    """Return the folder of the demo's state: DEMO_DIR, or `.demo` in the repository."""
    named = os.environ.get("DEMO_DIR")
    found = Path(named) if named else Path(__file__).resolve().parent.parent / ".demo"
    found.mkdir(parents=True, exist_ok=True)
    return found.resolve()


def secret_key(folder: Path) -> str:
    """Return the key kept in `folder`, made at the first call; processes that start together agree on one."""
    path = folder / "secret"
    if not path.exists():
        _create_once(path, get_random_secret_key())
    return path.read_text().strip()


def _create_once(path: Path, text: str) -> None:
    """Write a private file unless it exists; a hard link makes it appear whole or not at all."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent) as draft:
        draft.write(text)
        draft.flush()
        try:
            os.link(draft.name, path)
        except FileExistsError:
            return
