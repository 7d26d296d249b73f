"""The core of the suite on every supported pair of Python and Django."""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["core"]

PAIRS = [("3.11", "5.2"), ("3.13", "6.0"), ("3.13", "6.1")]
# These forbid Django 6.1; installers would silently step back to releases from before that limit.
NOT_YET_ON_6_1 = ("django-prometheus", "django-celery-beat")


@nox.session
@nox.parametrize(("python", "django"), PAIRS, ids=[f"python{python}-django{django}" for python, django in PAIRS])
def core(session: nox.Session, django: str) -> None:
    """Run the tests that need neither browser nor further processes."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *flatten(extras, "test"), f"django~={django}.0"]
    if django == "6.1":
        wanted = [line for line in wanted if not line.startswith(NOT_YET_ON_6_1)]
    session.install(*wanted)
    session.install("--no-deps", "--editable", ".")
    session.run("python", "-m", "pytest", "-q", "-n", "2", "-m", "not processes and not browser", *session.posargs)


def flatten(extras: dict[str, list[str]], name: str) -> list[str]:
    """Return an extra's requirements with the project's own extras spelt out."""
    found: list[str] = []
    for line in extras[name]:
        inner = line.removeprefix("django-cachekit[").removesuffix("]") if line.startswith("django-cachekit[") else ""
        found += [part for extra in inner.split(",") for part in flatten(extras, extra)] if inner else [line]
    return found
