"""The peer as a web application; each worker pins itself."""

from __future__ import annotations

from benchmarks.peers import this
from benchmarks.pins import CLIENT, pin

pin(CLIENT)
this().configure()

from django.core.wsgi import get_wsgi_application  # noqa: E402

application = get_wsgi_application()
