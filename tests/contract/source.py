"""Obtain the source distribution of the installed Django, which holds Django's tests."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import django

from tests.servers import Missing

FOLDER = Path(__file__).parents[2] / ".cache" / "contract"


def django_tests() -> Path:
    """Return the folder `tests` of the installed Django's source; fetched once. Raises Missing."""
    version = django.get_version()
    target = FOLDER / f"django-{version}"
    if not (target / "tests" / "runtests.py").exists():
        archive = fetched(version)
        with tarfile.open(archive) as tar:
            tar.extractall(FOLDER, filter="data")
        unpacked = FOLDER / archive.name.removesuffix(".tar.gz")
        if unpacked != target:
            unpacked.rename(target)
    return target / "tests"


def fetched(version: str) -> Path:
    """Return the archive, downloaded by pip with the user's own settings. Raises Missing when that fails."""
    if found := list(FOLDER.glob(f"[Dd]jango-{version}.tar.gz")):
        return found[0]
    FOLDER.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--retries", "1", "--dest", str(FOLDER)]
    words += ["--no-deps", "--no-binary", "Django", f"Django=={version}"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired as error:
        raise Missing(f"Django {version}'s source did not arrive within 300 s") from error
    found = list(FOLDER.glob(f"[Dd]jango-{version}.tar.gz"))
    if not found:
        reason = done.stderr.strip().splitlines()[-1:] or ["pip said nothing"]
        raise Missing(f"Django {version}'s source cannot be fetched: {reason[0]}")
    return found[0]
