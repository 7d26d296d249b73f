"""One library in a process of its own: it is told by lines of JSON what to do, and answers by lines of JSON."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from benchmarks.families import OPERATIONS
from benchmarks.families.base import proved
from benchmarks.peers import memory, this
from benchmarks.peers.measuring import Measured
from benchmarks.pins import CLIENT, pin


class Process:
    """What a peer's process can be asked."""

    def __init__(self) -> None:
        self.peer = this()
        self.loop = asyncio.new_event_loop()
        self.calls: dict[str, Measured] = {}

    def migrate(self) -> str:
        """Make the tables and the rows."""
        from django.core.management import call_command
        from django.db import connection

        from benchmarks.shop.models import Product, fill

        call_command("migrate", "cachekit", verbosity=0)
        with connection.schema_editor() as editor:
            editor.create_model(Product)
        fill()
        return "migrated"

    def prepare(self, operation: str) -> float:
        """Make an operation ready, warm it, and return about how many microseconds it takes."""
        self.calls[operation] = call = Measured(OPERATIONS[operation].make(self.peer), self.loop)
        call.timed(20, 1)
        if self.peer.near and OPERATIONS[operation].hit:
            proved(self.holds(call), f"{self.peer.name} asks the server each time")
        gc.freeze()
        return sorted(call.timed(21, 1).us)[10]

    def holds(self, call: Measured) -> bool:
        """Wait until a call is answered without asking anybody; give up after a second."""
        for _ in range(50):
            if not call.sends():
                return True
            time.sleep(0.02)
        return False

    def time(self, operation: str, samples: int, repeated: int) -> Any:
        """Time a chunk."""
        return self.calls[operation].timed(samples, repeated)

    def spin(self, operation: str, seconds: float) -> float:
        """Return the calls a second."""
        return self.calls[operation].spun(seconds)

    def count(self, operation: str) -> Any:
        """Return the calls of Python functions, and of all functions."""
        return self.calls[operation].counted()

    def profile(self, operation: str, calls: int, top: int) -> Any:
        """Return where the time goes."""
        return self.calls[operation].profiled(calls, top)

    def pin(self, cores: list[int]) -> str:
        """Move to these cores."""
        pin(set(cores))
        return "pinned"

    def weigh(self, what: str, count: int) -> Any:
        """Return what memory entries take."""
        weigh: Callable[[Any, int], Any] = getattr(memory, what)
        return weigh(self.peer, count)


def main() -> None:
    """Do what the lines say, one after the other."""
    process = Process()
    process.peer.configure()
    pin(CLIENT)
    print(json.dumps({"answer": "ready"}), flush=True)
    for line in sys.stdin:
        words = json.loads(line)
        try:
            answer = {"answer": getattr(process, words.pop("do"))(**words)}
        except Exception:
            answer = {"error": traceback.format_exc(limit=-4)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
