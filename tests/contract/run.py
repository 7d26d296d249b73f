"""Run Django's cache tests on our backends: `python -m tests.contract.run redis|memory|django_redis`.

The tests are copied, and the names of Django's backends in them replaced, so that each test runs as it stands.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.contract.source import django_tests
from tests.servers import Valkey

LOCMEM = "django.core.cache.backends.locmem.LocMemCache"
REDIS = "django.core.cache.backends.redis.RedisCache"


class Variant(NamedTuple):
    """Which backends stand in for Django's in-memory one and its Redis one, and whose tests are left out."""

    memory: str
    redis: str
    leaves_out: str = "LocMem"


VARIANTS = {
    "redis": Variant("contract_backends.OurRedis", "cachekit.backends.RedisCache"),
    "memory": Variant("cachekit.backends.MemoryCache", REDIS, "RedisCache"),
    "django_redis": Variant("contract_backends.TheirRedis", "django_redis.cache.RedisCache"),
}

BACKENDS = '''
"""Backends that take a LOCATION of Django's tests as the name of a database on the server."""

import os
import zlib

from cachekit.backends import RedisCache as Ours
from django_redis.cache import RedisCache as Theirs


def url(name):
    return f"{os.environ['CONTRACT_URL']}/{zlib.crc32(str(name).encode()) % 14 + 1 if name else 0}"


class OurRedis(Ours):
    def __init__(self, name, params):
        super().__init__(url(name), params)
        self._given = (name, params)


class TheirRedis(Theirs):
    def __init__(self, name, params):
        super().__init__(url(name), params)
'''

SETTINGS = '''
"""Settings of the contract run: those of Django's own runs, with a Redis cache."""

import os

from test_sqlite import *

CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "redis": {"BACKEND": os.environ["CONTRACT_REDIS"], "LOCATION": os.environ["CONTRACT_URL"]},
}
'''

OTHERS = re.compile(r"Dummy|DBCache|CreateCacheTable|FileBased|PyLibMC|PyMemcache")
"""Tests of backends that are none of our business."""

INTERNALS = {
    "test_incr_write_connection": "mocks RedisCacheClient.get_client",
    "test_cache_client_class": "compares the private RedisCacheClient",
    "test_get_connection_pool_index": "calls a private method of RedisCacheClient",
    "test_get_connection_pool": "calls a private method of RedisCacheClient",
    "test_get_client": "calls a private method of RedisCacheClient",
    "test_serializer_dumps": "reads a private attribute of RedisCacheClient",
    "test_redis_pool_options": "calls a private method of RedisCacheClient",
}
"""Tests of Django's Redis backend that look inside it; tests/backends/ asks the same of ours in its own words."""

LOCMEM_INTERNALS = {
    "test_caches_with_unset_timeout_set_expiring_key": "reads LocMemCache's private _expire_info",
    "test_caches_set_with_timeout_as_none_set_non_expiring_key": "reads LocMemCache's private _expire_info",
}
"""Tests of Django's in-memory backend that look inside it, and are left out where Redis stands in for it."""


class Result(NamedTuple):
    """How a run ended."""

    code: int
    tests: int
    failures: list[str]
    output: str


def prepared(variant: Variant, folder: Path) -> list[str]:
    """Copy Django's cache tests into `folder` with the backends exchanged; return the labels to run."""
    source = django_tests()
    for entry in ("runtests.py", "test_sqlite.py", "urls.py", "templates", "requirements"):
        where = source / entry
        if where.is_dir():
            shutil.copytree(where, folder / entry)
        elif where.exists():
            shutil.copy(where, folder)
    app = folder / "cache"
    shutil.copytree(source / "cache", app)
    (folder / "contract_backends.py").write_text(BACKENDS)
    (folder / "contract_settings.py").write_text(SETTINGS)
    for path in app.glob("*.py"):
        path.write_text(exchanged(path.read_text(), variant))
    others = re.compile(f"{OTHERS.pattern}|{variant.leaves_out}")
    found = [(module, case) for module in ("tests", "tests_async") for case in cases(app / f"{module}.py")]
    return [f"cache.{module}.{case}" for module, case in found if not others.search(case)]


def cases(path: Path) -> list[str]:
    """Return the names of the test cases of a module."""
    classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    bases = {node.name: [base.id for base in node.bases if isinstance(base, ast.Name)] for node in classes}

    def is_case(name: str) -> bool:
        return name.endswith("TestCase") or any(map(is_case, bases.get(name, ())))

    return [name for name in bases if is_case(name)]


def exchanged(text: str, variant: Variant) -> str:
    """Return a test module with Django's backends replaced, and without the tests that look inside Django's own."""
    module, _, name = variant.memory.rpartition(".")
    text = text.replace(f'"{LOCMEM}"', f'"{variant.memory}"').replace(f'"{REDIS}"', f'"{variant.redis}"')
    text = text.replace(
        "from django.core.cache.backends.locmem import LocMemCache", f"from {module} import {name} as LocMemCache"
    )
    for test in INTERNALS if variant.leaves_out == "RedisCache" else (*INTERNALS, *LOCMEM_INTERNALS):
        text = text.replace(f"def {test}(self)", f"def internal_{test}(self)")
    return text


def run(name: str) -> Result:
    """Run Django's cache tests on the backends of a variant, with a server of its own. Raises Missing."""
    variant = VARIANTS[name]
    with tempfile.TemporaryDirectory(prefix="cachekit-contract-") as place, Valkey() as server:
        folder = Path(place)
        labels = prepared(variant, folder)
        env = {key: value for key, value in os.environ.items() if not key.startswith(("DJANGO_", "PYTEST"))}
        env |= {
            "CONTRACT_URL": server.url.rpartition("/")[0],
            "CONTRACT_REDIS": variant.redis,
            "PYTHONPATH": os.pathsep.join((str(folder), str(Path(__file__).parents[2]))),
        }
        words = ["runtests.py", "--settings=contract_settings", "--parallel=1", "--noinput", *labels]
        done = subprocess.run(
            [sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, check=False
        )
    ran = re.search(r"^Ran (\d+) tests", done.stderr, re.MULTILINE)
    failed = set(re.findall(r"^(?:FAIL|ERROR): \S+ \((\S+)\)", done.stderr, re.MULTILINE))
    return Result(done.returncode, int(ran[1]) if ran else 0, sorted(failed), done.stdout + done.stderr)


if __name__ == "__main__":
    result = run(sys.argv[1])
    closing = f"{result.tests} tests, {len(result.failures)} failed"
    sys.stdout.write("\n".join((result.output, *result.failures, closing, "")))
    sys.exit(result.code)
