"""Requests a second of each peer behind gunicorn: two sync workers, a connection for each request.

The load comes from this process, pinned to the servers' core: eight requests are always under way. How much of that
core it needs is told with the figures: near 1 it would be the load that is measured.
"""

from __future__ import annotations

import random
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.pins import ALL, SERVER, pin
from benchmarks.stage import Gone, Servers
from tests.servers import free_port

APPLICATION = "benchmarks.peers.wsgi:application"
REQUEST = b"GET /page/ HTTP/1.1\r\nHost: testserver\r\nConnection: close\r\n\r\n"
UNDER_WAY = 8
START_SECONDS = 30.0


class Link:
    """One connection after the other."""

    def __init__(self, port: int, selector: selectors.BaseSelector) -> None:
        self.port = port
        self.selector = selector
        self.done = 0
        self.open()

    def open(self) -> None:
        """Connect and ask."""
        self.socket = socket.create_connection(("127.0.0.1", self.port))
        self.socket.sendall(REQUEST)
        self.answer = b""
        self.selector.register(self.socket, selectors.EVENT_READ, self)

    def close(self) -> None:
        """Forget what is under way."""
        self.selector.unregister(self.socket)
        self.socket.close()

    def read(self) -> None:
        """Take what has come; at its end ask again."""
        chunk = self.socket.recv(65_536)
        if chunk:
            self.answer += chunk
            return
        self.close()
        if not self.answer.startswith(b"HTTP/1.1 200"):
            raise Gone(f"a worker answered {self.answer[:200]!r}")
        self.done += 1
        self.open()


@contextmanager
def serving(name: str, running: Servers) -> Iterator[int]:
    """Serve a peer's page, and give the port."""
    port = free_port()
    words = ["-w", "2", "-b", f"127.0.0.1:{port}", "--log-level", "error", "--no-control-socket", "--preload"]
    command = [sys.executable, "-W", "ignore", "-m", "gunicorn", *words, APPLICATION]
    with subprocess.Popen(command, env=running.environment(name)) as process:
        try:
            yield port
        finally:
            process.terminate()


def requests_a_second(port: int, seconds: float) -> tuple[float, float]:
    """Ask for so long; return how many were answered a second, and how much of its core this process needed."""
    with selectors.DefaultSelector() as selector:
        links = [Link(port, selector) for _ in range(UNDER_WAY)]
        try:
            began, cpu = time.perf_counter(), time.process_time()
            while (taken := time.perf_counter() - began) < seconds or (taken < START_SECONDS and not done(links)):
                for key, _ in selector.select(1):
                    key.data.read()
        finally:
            for link in links:
                link.close()
    return done(links) / taken, (time.process_time() - cpu) / taken


def done(links: list[Link]) -> int:
    """Return how many requests were answered."""
    return sum(link.done for link in links)


def loaded(names: list[str], running: Servers, rounds: int, seconds: float) -> tuple[dict[str, list[float]], float]:
    """Return the requests a second of each round, the peers in an order drawn anew, and the load's greatest share."""
    draw, greatest = random.Random(1), 0.0
    found: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        ports = {name: stack.enter_context(serving(name, running)) for name in names}
        for port in ports.values():
            wait(port)
        pin(SERVER)
        try:
            for port in ports.values():
                requests_a_second(port, seconds / 2)
            for _ in range(rounds):
                for name in draw.sample(names, len(names)):
                    rate, share = requests_a_second(ports[name], seconds)
                    found[name].append(rate)
                    greatest = max(greatest, share)
        finally:
            pin(ALL)
    return found, greatest


def wait(port: int) -> None:
    """Wait until both workers have answered."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            requests_a_second(port, 0.1)
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise Gone(f"nothing serves port {port}")
