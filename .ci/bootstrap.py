"""Make the virtual environment and install requirements.txt, with nothing but a bare Python.

Debian's python3 has neither pip nor ensurepip; then pip comes as a wheel from the package index. `uv` installs ten
times faster than pip; where it is not to be had, pip does the work.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this file is the one that an older Python meets first
    sys.exit(f"cachekit needs Python 3.11 or newer, this is {sys.version.split()[0]}. Try: make PYTHON=python3.12")

import argparse
import hashlib
import importlib.util
import json
import os
import subprocess
import tempfile
import urllib.parse
import urllib.request
import venv
from pathlib import Path

JSON = "application/vnd.pypi.simple.v1+json"


def main() -> None:
    """Bring the environment named on the command line up to date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("requirements", type=Path)
    given = parser.parse_args()
    python = given.folder / "bin" / "python"

    if not works(python, "import pip"):
        make(given.folder, python)
    install(python, given.requirements)


def works(python: Path, code: str) -> bool:
    """Say whether this interpreter exists and runs the code."""
    return python.exists() and subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


def make(folder: Path, python: Path) -> None:
    """Create the environment with pip in it."""
    print(f"creating {folder} with Python {sys.version.split()[0]}", flush=True)
    bundled = importlib.util.find_spec("ensurepip") is not None
    venv.create(folder, with_pip=bundled, clear=True, symlinks=True)
    if not bundled:
        with tempfile.TemporaryDirectory() as place:
            wheel = fetch_pip(Path(place))
            subprocess.run([python, wheel / "pip", "install", "-q", wheel], check=True)


def fetch_pip(place: Path) -> Path:
    """Download pip's newest wheel and check its digest."""
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    request = urllib.request.Request(index + "/pip/", headers={"Accept": JSON})
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = json.load(answer)["files"]
    newest = max(
        (file for file in files if file["filename"].endswith("-none-any.whl") and not file.get("yanked")),
        key=lambda file: release(file["filename"]),
    )
    wheel = place / newest["filename"]
    with urllib.request.urlopen(urllib.parse.urljoin(request.full_url, newest["url"]), timeout=60) as answer:
        wheel.write_bytes(answer.read())
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != newest["hashes"]["sha256"]:
        sys.exit(f"the downloaded {wheel.name} does not match its digest")
    return wheel


def release(filename: str) -> tuple[int, ...]:
    """Return the version in a wheel's name as numbers; pre-releases sort first."""
    parts = filename.split("-")[1].split(".")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else (0,)


def install(python: Path, requirements: Path) -> None:
    """Install the requirements with uv, or with pip where uv fails."""
    quiet = ["--quiet", "--disable-pip-version-check"]
    subprocess.run([python, "-m", "pip", "install", *quiet, "uv"], capture_output=True, check=False)
    uv = python.parent / "uv"
    if uv.exists():
        command = [uv, "pip", "install", "--quiet", "--python", python, "--requirement", requirements]
        if subprocess.run(command, check=False).returncode == 0:
            return
        print("uv could not install; trying pip", flush=True)
    done = subprocess.run([python, "-m", "pip", "install", *quiet, "--requirement", requirements], check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
