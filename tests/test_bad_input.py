"""What people get wrong, and what is not there: each gets a clear word, and no page fails."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cachekit import cached, cached_query
from cachekit.core.capture import depend
from cachekit.exceptions import InvalidTag
from tests.making import Source
from tests.servers import free_port
from tests.zoo.models import Book

BLOCKED = """
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
{code}
"""

SETTINGS = """
from django.conf import settings
settings.configure(
    SECRET_KEY="x", INSTALLED_APPS=["django.contrib.contenttypes", "cachekit"],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    CACHES={{"default": {{"BACKEND": "cachekit.backends.{backend}", "LOCATION": "redis://localhost:1/0"}}}},
)
import django; django.setup()
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=False)


@pytest.mark.parametrize(
    ("extra", "packages", "code"),
    [
        ("redis", ["redis", "django_redis"], "import cachekit.backends; cachekit.backends.RedisCache"),
        ("redis", ["django_redis"], "import cachekit.backends; cachekit.backends.RedisCache"),
        ("celery", ["celery"], f"{SETTINGS.format(backend='MemoryCache')}\nimport cachekit.tasks"),
        (
            "prometheus",
            ["prometheus_client"],
            f"{SETTINGS.format(backend='MemoryCache')}\nfrom cachekit import metrics; metrics.requests()",
        ),
    ],
)
@pytest.mark.processes
def test_a_missing_extra_is_named(extra: str, packages: list[str], code: str) -> None:
    ended = run(BLOCKED.format(packages=packages, code=code))

    assert ended.returncode == 1
    assert ended.stderr.rstrip().splitlines()[-1].startswith("cachekit.exceptions.MissingExtra: ")
    assert f"pip install 'django-cachekit[{extra}]'" in ended.stderr


@pytest.mark.processes
def test_without_any_extra_a_site_runs_in_memory() -> None:
    code = """
from cachekit import cached, invalidate
from django.core.management import call_command
call_command("check")
runs = []
@cached(60)
def f(): runs.append(1)
f(); f(); assert invalidate(f.tag); f()
print(len(runs))
"""
    packages = ["redis", "django_redis", "celery", "prometheus_client", "rest_framework", "msgpack", "fakeredis"]

    ended = run(BLOCKED.format(packages=packages, code=SETTINGS.format(backend="MemoryCache") + code))

    assert ended.stdout.splitlines()[-1:] == ["2"], ended.stderr


@pytest.mark.processes
def test_the_check_says_what_is_missing_for_a_cache_on_redis() -> None:
    code = (
        SETTINGS.format(backend="RedisCache") + "from django.core.management import call_command; call_command('check')"
    )

    ended = run(BLOCKED.format(packages=["redis", "django_redis"], code=code))

    assert "pip install 'django-cachekit[redis]'" in ended.stderr.splitlines()[-1]


@pytest.mark.processes
def test_a_site_starts_and_answers_without_its_redis() -> None:
    code = """
import django; django.setup()
from django.core.management import call_command
from django.http import HttpResponse
from django.test import RequestFactory
from cachekit import cached, cached_view, invalidate

call_command("check")

@cached_view(60)
def page(request):
    return HttpResponse("hello")

@cached(60)
def number():
    return 7

print(page(RequestFactory().get("/")).content.decode(), number(), invalidate("homepage", alias="default"))
"""
    nowhere = f"redis://127.0.0.1:{free_port()}/0"

    ended = run(code, CACHEKIT_TEST_REDIS_URL=nowhere)
    status = run(
        "from django.core.management import execute_from_command_line as go; go(['manage.py', 'cachekit', 'status'])",
        CACHEKIT_TEST_REDIS_URL=nowhere,
    )

    assert ended.stdout.splitlines()[-1:] == ["hello 7 False"], ended.stderr
    assert status.returncode == 1
    assert "away" in status.stdout + status.stderr
    assert "Traceback" not in status.stderr


@pytest.mark.parametrize("tag", ["two words", "tab\there", "x" * 251, "", "*", "db:default"])
def test_an_unfit_tag_is_refused_where_it_is_written(tag: str) -> None:
    with pytest.raises(InvalidTag):
        cached(60, tags=(tag,))(Source())
    with pytest.raises(InvalidTag):
        cached_query(Book.objects.all(), timeout=60, tags=(tag,))
    with pytest.raises(InvalidTag):
        depend(tag)


def test_a_tag_with_spaces_gets_a_proposal() -> None:
    with pytest.raises(InvalidTag, match="Write it as 'two-words'"):
        cached(60, tags=("two words",))(Source())
    with pytest.raises(TypeError, match=r"tags=\('homepage',\)"):
        cached(60, tags="homepage")(Source())  # type: ignore[call-overload]
