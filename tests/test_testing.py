"""What a project's own tests may rely on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.test import TestCase, TransactionTestCase

from cachekit import cached, testing
from tests.zoo.models import Author

Commits = Callable[..., AbstractContextManager[Any]]
WITHOUT_REDIS = """
import sys
sys.modules |= dict.fromkeys(["celery", "django_redis", "hiredis", "prometheus_client", "redis"])
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="x",
    INSTALLED_APPS=[f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes", "messages", "sessions")]
    + ["cachekit"],
    CACHES={"default": {"BACKEND": "cachekit.backends.MemoryCache"}},
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
from django.core.management import call_command
from cachekit import cached
calls = []

@cached
def twice(number):
    calls.append(number)
    return 2 * number

print(twice(2), twice(2), calls)
call_command("migrate", verbosity=0)
call_command("cachekit", "status")
"""


@pytest.mark.django_db
def test_each_run_of_commit_handlers_tells_the_caches(django_capture_on_commit_callbacks: Commits) -> None:
    @cached(timeout=60, name="names", alias="memory")
    def names() -> list[str]:
        return list(Author.objects.order_by("name").values_list("name", flat=True))

    seen = []
    for name in ("Ada", "Bertha", "Cleo"):
        with django_capture_on_commit_callbacks(execute=True):
            Author.objects.create(name=name)
        seen.append((names(), names()))

    assert seen == [([*row], [*row]) for row in (["Ada"], ["Ada", "Bertha"], ["Ada", "Bertha", "Cleo"])]


@pytest.mark.django_db
def test_what_was_committed_is_kept_though_the_test_is_one_transaction(
    django_capture_on_commit_callbacks: Commits, django_assert_num_queries: Any
) -> None:
    @cached(timeout=60, name="count", alias="memory")
    def count() -> int:
        return Author.objects.count()

    for name in ("Ada", "Bertha"):
        with django_capture_on_commit_callbacks(execute=True):
            Author.objects.create(name=name)
        count()

    with django_assert_num_queries(0):
        assert count() == 2


@cached(timeout=60, name="names.helped", alias="memory")
def names() -> list[str]:
    return list(Author.objects.order_by("name").values_list("name", flat=True))


@pytest.mark.django_db
def test_settling_is_a_commit_for_the_caches() -> None:
    Author.objects.create(name="Ada")
    with testing.assert_computed():
        assert names() == ["Ada"]
    with testing.assert_computed():
        names()

    testing.settle()

    with testing.assert_computed():
        names()
    with testing.assert_cached():
        assert names() == ["Ada"]
    Author.objects.update(name="Bob")
    testing.settle()
    with testing.assert_computed():
        assert names() == ["Bob"]


@pytest.mark.django_db
def test_what_a_block_invalidates() -> None:
    author = Author.objects.create(name="Ada")
    testing.settle()

    with testing.invalidated() as tags:
        Author.objects.filter(pk=author.pk).update(name="Bob")
    with testing.invalidated() as nothing:
        names()

    assert tags == {"zoo.author", f"zoo.author#{author.pk}"}
    assert nothing == set()


@pytest.mark.django_db
def test_what_is_not_as_asserted_is_said() -> None:
    not_cached = r"Not answered from the cache: function:names\.helped \(miss\)"
    with pytest.raises(AssertionError, match=not_cached), testing.assert_cached():
        names()
    with pytest.raises(AssertionError, match="Answered from the cache: function:names"), testing.assert_computed():
        names()
    for check in (testing.assert_cached, testing.assert_computed):
        with pytest.raises(AssertionError, match="Nothing cached was used"), check():
            pass


class Cases(TestCase):
    """What a project's own test cases may do."""

    @classmethod
    def setUpTestData(cls) -> None:
        Author.objects.create(name="Ada")

    def setUp(self) -> None:
        testing.reset()
        testing.settle()

    def test_a_write_is_seen(self) -> None:
        names()
        with testing.assert_cached():
            names()

        Author.objects.update(name="Bob")
        testing.settle()

        assert names() == ["Bob"]

    def test_each_test_starts_anew(self) -> None:
        with testing.assert_computed():
            assert names() == ["Ada"]


class CommittingCases(TransactionTestCase):
    """What needs no settling."""

    def test_a_write_is_seen(self) -> None:
        Author.objects.create(name="Ada")
        names()
        with testing.assert_cached():
            names()

        with testing.invalidated() as tags:
            Author.objects.update(name="Bob")

        assert names() == ["Bob"]
        assert tags == {"zoo.author", "zoo.author#*"}


def test_the_app_runs_in_memory_without_any_extra() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_REDIS], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4 4 [2]\nCaches\n  default: memory")
