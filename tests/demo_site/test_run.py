"""`make demo` as a process: it serves, stops with all it started, and cleans up after a run that was killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo_site.run import ports, valkey
from demo_site.run.children import PROC, Children, Trouble, command_of, commands_by_ps, commands_in, members

ROOT = Path(__file__).parents[2]
Demo = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """`demo(*words, **variables)` starts it in a folder of its own; what is left at the end is killed, by its id."""
    started: list[subprocess.Popen[str]] = []
    unwanted = {"CACHE_URL", "DATABASE_URL", "CELERY_BROKER_URL", "DJANGO_SETTINGS_MODULE", "DEMO_PASSWORD"}
    env = {name: value for name, value in os.environ.items() if name not in unwanted} | {"DEMO_DIR": str(tmp_path)}

    def start(*words: str, **variables: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "demo_site.run", "--limit", "200", *words]
        child = subprocess.Popen(
            command, cwd=ROOT, env=env | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(child)
        return child

    yield start

    for child in started:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        child.communicate(timeout=200)
    Children(tmp_path).clean_up()


def read_until(child: subprocess.Popen[str], text: str) -> str:
    """Return what the demo prints up to and with a line that holds `text`."""
    told = ""
    assert child.stdout is not None
    for line in child.stdout:
        told += line
        if text in line:
            return told
    raise AssertionError(f"{text!r} was not printed:\n{told}")


def ours(folder: Path) -> list[int]:
    """Return the processes that the demo in this folder has noted, as far as they live."""
    noted = json.loads((folder / "running.json").read_text())["children"]
    return members(set(noted), str(folder))


@pytest.mark.processes
def test_the_smoke_test_passes_and_leaves_nothing_running(demo: Demo, tmp_path: Path) -> None:
    child = demo("--port", "0", "--smoke")

    told, _ = child.communicate(timeout=280)

    assert child.returncode == 0, told
    assert "a miss, then a hit without SQL" in told
    assert re.search(r"Login staff, password \S{12}", told)
    assert not (tmp_path / "running.json").exists()
    assert (
        str(tmp_path)
        not in subprocess.run(["ps", "-A", "-ww", "-o", "command="], capture_output=True, text=True, check=True).stdout
    )


@pytest.mark.processes
def test_after_kill_9_the_next_start_cleans_up_keeps_the_data_and_stops_on_sigterm(demo: Demo, tmp_path: Path) -> None:
    first = demo("--port", "0")
    told = read_until(first, "Ctrl-C")
    (port,) = re.findall(r"Shop +http://localhost:(\d+)/", told)
    first.kill()
    first.wait()
    orphans = ours(tmp_path)
    assert len(orphans) >= 4

    second = demo("--port", port)
    told = read_until(second, "Ctrl-C")

    assert re.search(r"Stopped \d+ processes of a run that was killed", told)
    assert "stocked already: 200 stones" in told
    assert "with the password printed when it was made" in told
    assert not set(orphans) & set(ours(tmp_path))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/diamonds/", timeout=60) as answer:
        assert answer.status == 200
    third = demo("--port", "0")
    assert "running already" in third.communicate(timeout=200)[0]
    assert third.returncode == 1
    running = ours(tmp_path)
    second.send_signal(signal.SIGTERM)
    second.communicate(timeout=200)
    assert second.returncode == 0
    assert [pid for pid in running if command_of(pid)] == []


def test_a_port_that_is_taken_is_said_at_once(demo: Demo) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        child = demo(PORT=str(port))

        told, _ = child.communicate(timeout=200)

    assert child.returncode == 1
    assert f"port {port} is taken by another program. Choose another: PORT={port + 1} make demo" in told
    assert "Traceback" not in told


def test_a_cache_url_that_is_refused_is_said(tmp_path: Path) -> None:
    env = {**os.environ, "CACHE_URL": "redis+cluster://a:6379", "DEMO_DIR": str(tmp_path)}
    env.pop("DJANGO_SETTINGS_MODULE", None)

    done = subprocess.run(
        [sys.executable, "-m", "demo_site.run", "--port", "0"],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert "the demo takes the URL of one server" in done.stderr


def test_a_process_that_dies_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    children = Children(tmp_path)
    program = "import sys; sys.exit('no such thing as a free lunch')"
    children.start("cook", [sys.executable, "-c", program, str(tmp_path)], os.environ).wait()

    with pytest.raises(Trouble, match=r"cook ended with status 1.*(?s:.*)free lunch"):
        children.check()

    children.stop()


def test_a_process_that_will_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo_site.run.children.PATIENCE", 0.3)
    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    children = Children(tmp_path)
    child = children.start("deaf", [sys.executable, "-c", program, str(tmp_path)], os.environ)
    while not children.log("deaf").read_text():
        time.sleep(0.02)

    children.stop()

    assert child.returncode == -signal.SIGKILL


@pytest.mark.parametrize("way", ["proc", "ps"])
def test_command_lines_are_found_with_and_without_ps(way: str) -> None:
    if way == "proc" and not PROC.exists():
        pytest.skip("only Linux has /proc")
    if way == "ps" and not shutil.which("ps"):
        pytest.skip("a small system has no ps")
    program = "print('a mark of its own', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()  # until it runs, a process has no command line

        found = commands_in(PROC) if way == "proc" else commands_by_ps()

        child.communicate(b"\n")
    assert program in found[child.pid]
    assert child.pid not in (commands_in(PROC) if way == "proc" else commands_by_ps())


@pytest.mark.parametrize("noted", ["", "not json", "[]", '{"owner": 1}', '{"owner": 1, "children": ["x"]}'])
def test_a_spoilt_record_is_no_trouble(tmp_path: Path, noted: str) -> None:
    (tmp_path / "running.json").write_text(noted)

    assert Children(tmp_path).clean_up() == 0


def test_a_process_that_has_got_a_noted_id_since_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    (tmp_path / "running.json").write_text(json.dumps({"owner": 2**22 + 1, "children": [stranger.pid]}))

    assert Children(tmp_path).clean_up() == 0

    assert stranger.poll() is None
    stranger.communicate(b"\n")


def test_a_valkey_that_finds_its_port_taken_tries_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        offered = iter([taken.getsockname()[1], ports.any_free()])
        monkeypatch.setattr(ports, "any_free", lambda: next(offered))
        children = Children(tmp_path)

        url = valkey.serve(children, os.environ)

    assert ports.answers_ping(int(url.split(":")[2].split("/")[0]))
    children.stop()


def test_a_valkey_that_cannot_start_is_told_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "valkey").mkdir()
    (tmp_path / "valkey" / "appendonlydir").write_text("in the way")

    with pytest.raises(Trouble, match=r"did not start(?s:.*)appendonlydir"):
        valkey.serve(Children(tmp_path), os.environ)
