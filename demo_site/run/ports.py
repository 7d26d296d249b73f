"""Loopback ports: which are free, and whether somebody answers."""

from __future__ import annotations

import socket

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Tell whether a server may listen on this port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def any_free() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def answers_ping(port: int) -> bool:
    """Tell whether a Redis or Valkey server on this port is ready: a loading one answers with an error."""
    try:
        with socket.create_connection((HOST, port), timeout=0.5) as link:
            link.sendall(b"*1\r\n$4\r\nPING\r\n")
            return link.recv(16).startswith(b"+PONG")
    except OSError:
        return False
