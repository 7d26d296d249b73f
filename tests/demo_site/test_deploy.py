"""docker-compose.yml and what it mounts: every command, path and variable refers to something that exists."""

from __future__ import annotations

import json
import re
import shlex
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "demo_site" / "deploy"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
SCRIPTS = {script.name for script in entry_points(group="console_scripts")}


def test_the_services_are_those_of_the_readme() -> None:
    wanted = {"setup", "web", "worker", "beat", "relay", "postgres", "valkey", "prometheus", "grafana"}

    assert set(SERVICES) == wanted
    assert set(OURS) == {"setup", "web", "worker", "beat", "relay"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_commands_refer_to_what_exists(name: str) -> None:
    words = shlex.split(OURS[name]["command"])

    if words[:2] == ["python", "manage.py"]:
        assert words[2] in get_commands()
    else:
        assert words[0] in SCRIPTS
    for word in words:
        module, colon, attribute = word.partition(":")
        if colon:
            assert hasattr(import_module(module), attribute), word
        if word.startswith("demo_site/"):
            assert (ROOT / word).exists(), word


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_celery_finds_its_application(name: str) -> None:
    from celery.app.utils import find_app

    words = shlex.split(OURS[name]["command"])

    assert find_app(words[words.index("-A") + 1]).main == "demo_site"
    assert words[3] == name


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"setup"}))
def test_every_lasting_service_has_a_healthcheck(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_is_mounted_built_and_waited_for_exists(name: str) -> None:
    service = SERVICES[name]

    for volume in service.get("volumes", ()):
        source = volume.partition(":")[0]
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
    if "build" in service:
        assert (ROOT / service["build"]["dockerfile"]).exists()
    for other, condition in service.get("depends_on", {}).items():
        healthy = "healthcheck" in SERVICES[other]
        assert condition["condition"] == ("service_healthy" if healthy else "service_completed_successfully")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_on_loopback_and_secrets_come_from_the_environment(name: str) -> None:
    service = SERVICES[name]

    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    for variable, value in service.get("environment", {}).items():
        if re.search("PASSWORD|SECRET", variable):
            assert str(value).startswith("${"), variable
    assert re.search(r":[^/@]*[^}/@]@", service.get("environment", {}).get("DATABASE_URL", "")) is None


def test_the_image_copies_what_exists() -> None:
    for line in (DEPLOY / "Dockerfile").read_text().splitlines():
        words = line.split()
        if words[:1] == ["COPY"]:
            assert all((ROOT / word).exists() for word in words[1:-1]), line


def test_the_settings_read_the_variables_that_are_given() -> None:
    read = "".join(path.read_text() for path in (ROOT / "demo_site").rglob("*.py"))

    for service in OURS.values():
        for variable in set(service["environment"]) - {"PROMETHEUS_MULTIPROC_DIR"}:
            assert f'"{variable}"' in read, variable


def test_prometheus_asks_the_shop_and_its_relay_for_their_metrics() -> None:
    shop, relay = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    (site,), (beside,) = (job["static_configs"][0]["targets"] for job in (shop, relay))

    assert site.partition(":")[0] in OURS
    assert shop["metrics_path"] == "/metrics"
    assert beside == "relay:9101"
    assert OURS["relay"]["command"].endswith("--metrics-port 9101")


def test_the_relay_is_probed_by_its_own_command() -> None:
    assert OURS["relay"]["healthcheck"]["test"] == ["CMD", "python", "manage.py", "cachekit", "relay", "--check"]


def test_the_dashboard_shows_metrics_that_are_exported_from_a_source_that_is_provisioned() -> None:
    from django_prometheus import middleware

    from cachekit import metrics

    dashboard = json.loads((DEPLOY / "grafana/dashboards/cachekit.json").read_text())
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    exported = (Path(metrics.__file__).read_text() + Path(middleware.__file__).read_text()).replace('"', " ")

    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == source["uid"]
            for name in re.findall(r"(?:cachekit|django)_\w+", target["expr"]):
                assert re.sub("_(total|bucket)$", "", name) in exported, name
