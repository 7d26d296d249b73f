"""Python processes that tests start keep what they have compiled."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

FOLDER = Path(".cache/bytecode")


def keep(environ: MutableMapping[str, str]) -> None:
    """Where bytecode may not be written beside its source, as in many containers, have it written elsewhere.

    To compile Django anew takes each process a second, and the tests start hundreds.
    """
    if environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        environ["PYTHONPYCACHEPREFIX"] = str(FOLDER.resolve())
