"""How gunicorn serves the demo."""

from __future__ import annotations

import os
from typing import Any

bind = os.environ.get("BIND", "0.0.0.0:8000")
worker_class = "gthread"
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = 4
accesslog = "-"
timeout = 60
control_socket_disable = True  # it would be a file in the home folder


def child_exit(server: Any, worker: Any) -> None:
    """Forget the gauges of a worker that is gone."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        from prometheus_client import multiprocess  # noqa: PLC0415 - reads the variable when imported

        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
