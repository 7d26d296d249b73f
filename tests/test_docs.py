"""The docs hold: their code compiles, their names exist, their links lead somewhere, and who follows them arrives."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

import cachekit
from cachekit import exceptions, hooks
from cachekit.conf import Conf
from cachekit.core.policy import Policy
from cachekit.management.commands.cachekit import Command
from cachekit.specs import Options
from tests.servers import Valkey, free_port
from tests.walk import BLOCK, ROOT, Walk, blocks, environment

PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PLACES = re.compile(r"/tmp/|/home/|/root/|/Users/")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def snippets() -> list[ParameterSet]:
    return [
        pytest.param(textwrap.dedent(block.text), id=f"{name_of(page)}-{number}")
        for page in PAGES
        for number, block in enumerate(blocks(page), 1)
        if block.language == "python"
    ]


def reference() -> str:
    return "\n".join(page.read_text() for page in sorted((ROOT / "docs" / "reference").glob("*.md")))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    text = BLOCK.sub("", page.read_text())
    titles = [re.sub(r"[`*]|\]\([^)]*\)|\[", "", title) for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("code", snippets())
def test_a_snippet_compiles_and_imports_what_there_is(code: str) -> None:
    imports = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    ours = [(node.module or "", alias.name) for node in imports for alias in node.names]

    missing = [
        f"{module}.{name}"
        for module, name in ours
        if module.partition(".")[0] == "cachekit" and not _exists(module, name)
    ]

    assert missing == []


def _exists(module: str, name: str) -> bool:
    if hasattr(importlib.import_module(module), name):
        return True
    return importlib.util.find_spec(f"{module}.{name}") is not None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_images_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(BLOCK.sub("", page.read_text())) if not re.match(r"[a-z]+:", target)]

    lost = []
    for target in targets:
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if not found.exists() or (anchor and anchor not in anchors(found)):
            lost.append(target)

    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_names_no_place_of_one_machine(page: Path) -> None:
    assert PLACES.findall(page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_page_can_be_reached(page: Path) -> None:
    linked = {
        (other.parent / target.partition("#")[0]).resolve()
        for other in PAGES
        for target in LINK.findall(other.read_text())
        if not re.match(r"[a-z]+:", target) and other != page
    }

    assert page in linked or page.name == "README.md"


@pytest.mark.parametrize("field", dataclasses.fields(Conf), ids=lambda field: field.name)
def test_a_setting_stands_with_its_default(field: dataclasses.Field[object]) -> None:
    row = re.search(rf"^\| `{field.name}` \| `(.*?)` \|", reference(), re.MULTILINE)

    assert row
    assert ast.literal_eval(row[1]) == getattr(Conf(), field.name)


@pytest.mark.parametrize("name", cachekit.__all__)
def test_a_public_name_stands_in_the_reference(name: str) -> None:
    assert re.search(rf"`@?{name}\b", reference())


@pytest.mark.parametrize(
    "name",
    [name for name, one in vars(exceptions).items() if isinstance(one, type) and issubclass(one, Exception)],
)
def test_an_exception_stands_in_the_reference(name: str) -> None:
    assert f"| `{name}` |" in (ROOT / "docs/reference/exceptions.md").read_text()


@pytest.mark.parametrize(
    "kind",
    [
        hooks.Lookup,
        hooks.Invalidated,
        hooks.Refused,
        hooks.Audited,
        hooks.Shadowed,
        hooks.StoreDown,
        hooks.StoreUp,
    ],
)
def test_an_event_stands_with_its_fields(kind: type[tuple[object, ...]]) -> None:
    fields = ", ".join(getattr(kind, "_fields", ()))

    assert f"| `{kind.__name__}` | `{fields}` |" in (ROOT / "docs/reference/hooks.md").read_text()


def test_every_option_of_a_door_stands_in_the_reference() -> None:
    text = (ROOT / "docs/reference/doors.md").read_text()

    assert [name for name in Options.__annotations__ if f"| `{name}` |" not in text] == []
    assert [field.name for field in dataclasses.fields(Policy) if f"`{field.name}`" not in text] == []


def test_every_check_has_a_place_to_link_to() -> None:
    known = {
        found
        for path in (ROOT / "cachekit").rglob("*.py")
        for found in re.findall(r"cachekit\.[EWI]\d{3}", path.read_text())
    }

    assert {check.lower().replace(".", "") for check in known} <= anchors(ROOT / "docs/reference/checks.md")


def test_every_subcommand_stands_in_the_reference() -> None:
    listed = re.search(
        r"metavar|\{?(warm[^\n}]*status)", Command().create_parser("manage.py", "cachekit").format_help()
    )
    words = re.findall(r"[a-z-]{4,}", listed[1]) if listed else []

    assert words
    assert set(words) <= anchors(ROOT / "docs/reference/commands.md")


PATIENTLY = "socket_timeout=20&socket_connect_timeout=20"  # a busy machine is no fault


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a virtual environment in which cachekit was installed from its wheel."""
    return environment(tmp_path_factory.mktemp("installed"))


@pytest.fixture
def walk(tmp_path: Path, programs: Path, valkey: Valkey) -> Iterator[Walk]:
    """A reader with this test's server instead of the one that the docs name."""
    port = free_port()
    mine = f"127.0.0.1:{valkey.port}"
    swaps = {"8000": str(port), "127.0.0.1:6379/0": f"{mine}/0?{PATIENTLY}", "127.0.0.1:6379": mine}
    walk = Walk(tmp_path / "shopdemo", programs, swaps)
    yield walk
    walk.leave()


MODELS = """
from django.db import models

class Product(models.Model):
    name = models.CharField(max_length=80)
"""
VISIT = """
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from shop.models import Product

def visit():
    with CaptureQueriesContext(connection) as queries:
        body = Client().get("/1/", headers={"host": "localhost"}).content.decode().strip()
    print(body, len(queries))

Product.objects.create(name="Ring")
visit(), visit()
Product.objects.update(name="Chain")
visit(), visit()
"""
URLS = """
from django.urls import path
from shop import views
urlpatterns = [path("<int:pk>/", views.product)]
"""


@pytest.mark.processes
@pytest.mark.slow
def test_the_install_of_the_readme_works_in_an_existing_project(walk: Walk) -> None:
    walk.type("django-admin startproject project .", [])
    walk.type("python manage.py startapp shop && mkdir -p shop/templates/shop", [])
    walk.write("project/settings.py", 'INSTALLED_APPS += ["shop"]\n')
    walk.write("shop/models.py", MODELS)
    walk.write("shop/templates/shop/product.html", "{{ product.name }}")
    walk.type("python manage.py makemigrations shop", [])
    readme = (ROOT / "README.md").read_text()
    section = readme.partition("## Install into an existing project\n")[2].partition("\n## ")[0]

    for language, text in BLOCK.findall(section):
        if text.startswith("# settings.py"):
            walk.write("project/settings.py", text)
        elif language == "python":
            walk.write("shop/views.py", text)
        elif "migrate" in text:
            walk.type("python manage.py migrate", [])

    walk.write("project/urls.py", URLS)
    walk.write("visit.py", VISIT)
    walk.type("python manage.py check --fail-level WARNING", ["no issues"])
    walk.type("python manage.py shell < visit.py", ["Ring 1", "Ring 0", "Chain 1", "Chain 0"])


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_tutorial_leads_to_its_end(walk: Walk) -> None:
    for block in blocks(ROOT / "docs" / "tutorial.md"):
        walk.follow(block)

    ask = (
        "from django.contrib.auth.models import User; from django.test import Client; client = Client(); "
        "client.force_login(User.objects.get(username='admin')); "
        "print(client.get('/admin/cachekit/cache/', headers={'host': 'localhost'}).content.decode())"
    )
    walk.type(f'python manage.py shell -c "{ask}"', ["shop.views.product", "shop.caching.reports"])
