"""A proxy that cuts a connection in the middle of what passes, at a byte that a test names."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self


class Cutter:
    """Stands before a server; a context manager. `way` is "questions" or "answers"."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._left: int | None = None
        self._way = ""
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.cuts = 0

    @property
    def url(self) -> str:
        """The URL of the server through the proxy."""
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def cut_after(self, count: int, way: str) -> None:
        """Cut the connection over which so many more bytes have gone that way; all others go on."""
        with self._lock:
            self._left, self._way = count, way

    def let_pass(self) -> None:
        """Cut nothing more."""
        with self._lock:
            self._left = None

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(60)
        for link in self._open:
            _hang_up(link)
        for thread in self._threads[1:]:
            thread.join(60)

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            self._open += [caller, server]
            for way, source, target in (("questions", caller, server), ("answers", server, caller)):
                self._threads.append(threading.Thread(target=self._pump, args=(way, source, target), daemon=True))
                self._threads[-1].start()

    def _pump(self, way: str, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                passing = self._passing(way, data)
                target.sendall(data[:passing])
                if passing < len(data):
                    break
        _hang_up(source)
        _hang_up(target)

    def _passing(self, way: str, data: bytes) -> int:
        """Return how many of these bytes may pass; fewer than all of them mean the end."""
        with self._lock:
            if self._left is None or way != self._way:
                return len(data)
            if len(data) <= self._left:
                self._left -= len(data)
                return len(data)
            passing, self._left = self._left, None
            self.cuts += 1
            return passing


def _hang_up(link: socket.socket) -> None:
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
    link.close()
