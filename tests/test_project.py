"""The project keeps its promises: one place for versions, a whole wheel, templates that hold under a strict CSP."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cachekit import __version__
from cachekit.conf import NAMES

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "cachekit"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BUILD = "import setuptools.build_meta as backend; backend.build_wheel('out')"
INLINE = {
    "a style attribute": re.compile(r"\sstyle\s*=", re.IGNORECASE),
    "an event attribute": re.compile(r"\son[a-z]+\s*=\s*[\"']", re.IGNORECASE),
    "an inline script": re.compile(r"<script(?![^>]*\bsrc\s*=)", re.IGNORECASE),
    "an inline style sheet": re.compile(r"<style\b", re.IGNORECASE),
    "a javascript: link": re.compile(r"javascript:", re.IGNORECASE),
}


def read(name: str) -> str:
    return (ROOT / name).read_text()


def templates() -> list[Path]:
    return sorted(path for top in ("cachekit", "demo_site", "templates") for path in (ROOT / top).rglob("*.html"))


def pages() -> list[Path]:
    return [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def sources(*tops: str) -> list[Path]:
    return sorted(path for top in tops for path in (ROOT / top).rglob("*.py") if "migrations" not in path.parts)


def text_of(*tops: str) -> str:
    return "\n".join(path.read_text() for path in sources(*tops))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def width(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    names = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return len([one for one in names if one.arg not in {"self", "cls"}])


def another_signature(path: Path, function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Say whether a comment on its first line says that the arguments are not ours to choose."""
    return "'s signature" in path.read_text().splitlines()[function.lineno - 1]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in a wheel that is built from a copy, so that nothing left in the tree gets into it."""
    copy = tmp_path_factory.mktemp("wheel")
    for name in ("cachekit", "demo_site", "tests", "templates"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    subprocess.run([sys.executable, "-c", BUILD], cwd=copy, check=True, capture_output=True)
    (built,) = (copy / "out").glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return archive.namelist()


def test_the_wheel_holds_everything_the_app_ships(wheel: list[str]) -> None:
    shipped = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert shipped - set(wheel) == set()
    assert any(name.endswith(".lua") for name in wheel)
    assert any(name.endswith(".html") for name in wheel)
    assert "cachekit/py.typed" in wheel


def test_the_wheel_holds_neither_tests_nor_demo(wheel: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"cachekit"}


def test_requirements_name_extras_and_no_versions() -> None:
    lines = [line for line in read("requirements.txt").splitlines() if line and not line.startswith("#")]

    assert lines == ["-e .[demo,test]"]


def test_the_version_stands_in_the_package_only() -> None:
    written = [path for path in sources("cachekit", "demo_site") if f'"{__version__}"' in path.read_text()]

    assert written == [PACKAGE / "__init__.py"]
    assert "version" in PROJECT["dynamic"]
    assert re.search(rf"^## \[?{re.escape(__version__)}\b", read("CHANGELOG.md"), re.MULTILINE)


def test_the_readme_names_the_two_commands() -> None:
    readme = read("README.md")

    assert "make demo" in readme
    assert "make test" in readme


def test_the_build_machine_runs_what_a_person_runs() -> None:
    workflow = yaml.safe_load(read(".github/workflows/ci.yml"))
    steps = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]

    assert "make test" in read(".ci/run").splitlines()
    assert ".ci/run" in steps


def test_pre_commit_fetches_nothing() -> None:
    repos = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]

    assert {repo["repo"] for repo in repos} == {"local"}


def test_make_help_explains_every_target() -> None:
    makefile = read("Makefile")
    targets = set(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split())

    assert targets == set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))


@pytest.mark.parametrize("path", templates(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_template_holds_under_a_strict_policy(path: Path) -> None:
    text = path.read_text()

    assert [what for what, pattern in INLINE.items() if pattern.search(text)] == []


def test_python_writes_no_inline_styles() -> None:
    written = [
        path.name for path in sources("cachekit", "demo_site") if re.search(r"<[a-z]+ [^>]*style=", path.read_text())
    ]

    assert written == []


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_setting_has_a_reader_and_a_line_in_the_reference(name: str) -> None:
    readers = [
        path for path in sources("cachekit") if path.name != "conf.py" and re.search(rf"\.{name}\b", path.read_text())
    ]

    assert readers
    assert f"`{name}`" in read("docs/reference/settings.md")


def test_every_check_has_a_test_and_a_line_in_the_reference() -> None:
    known = set(re.findall(r"cachekit\.[EWI]\d{3}", text_of("cachekit")))

    assert known
    assert known - set(re.findall(r"cachekit\.[EWI]\d{3}", text_of("tests"))) == set()
    assert known - set(re.findall(r"cachekit\.[EWI]\d{3}", "".join(path.read_text() for path in pages()))) == set()


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())
    inside = [link for link in links if not re.match(r"[a-z]+:", link)]

    assert [link for link in inside if not (path.parent / link).exists()] == []


def test_no_room_is_too_large() -> None:
    large = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in sources("cachekit")}

    assert {name: lines for name, lines in large.items() if lines > 300} == {}


def test_no_function_is_too_long_or_too_wide() -> None:
    tail = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"
        for path in sources("cachekit", "demo_site")
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno >= 60
        or (width(function) > 7 and not another_signature(path, function))
    ]

    assert tail == []
