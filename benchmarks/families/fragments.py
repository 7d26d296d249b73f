"""A template with a part that is kept."""

from __future__ import annotations

from benchmarks.families.base import Call, Operation, proved
from benchmarks.peers.base import Peer


def fragment(peer: Peer) -> Call:
    """Make an operation that renders a template whose part is a hit."""
    from django.template import Context, engines

    engine = engines["django"].engine  # type: ignore[attr-defined]
    template, rows = engine.from_string(peer.fragment()), peer.shown()

    def call() -> str:
        return str(template.render(Context({"rows": rows})))

    for _ in range(3):
        proved(call().count("<li>") >= 50, f"{peer.name} renders something else")
    if peer.name != "uncached":
        changed = template.render(Context({"rows": rows[:1]})) if isinstance(rows, list) else call()
        proved(changed.count("<li>") >= 50, f"{peer.name}: the fragment is no hit")
    return call


OPERATIONS = (Operation("fragment", "fragments", "template fragment, hit", fragment),)
