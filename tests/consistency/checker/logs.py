"""The log of one process: reads in a compact binary file, everything else as lines that survive its death."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.consistency.checker.world import Seen

HEAD = struct.Struct("<BBHqqB")
PAIR = struct.Struct("<Hq")
HIT, FINAL = 1, 2


class Read(NamedTuple):
    """One read as it was logged; times in nanoseconds of the machine's monotonic clock."""

    kind: int
    flags: int
    number: int
    start: int
    end: int
    seen: Seen


class Log:
    """Two files of one process."""

    def __init__(self, folder: Path, name: str) -> None:
        self._reads = (folder / f"{name}.reads").open("ab", buffering=1 << 16)
        self._lines = os.open(folder / f"{name}.lines", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._count = os.open(folder / f"{name}.count", os.O_WRONLY | os.O_CREAT)
        self.count = 0

    def read(self, kind: int, flags: int, number: int, start: int, end: int, seen: Seen) -> None:
        """Log one read."""
        parts = [HEAD.pack(kind, flags, number, start, end, len(seen))]
        parts += [PAIR.pack(key, stamp) for key, stamp in seen]
        self._reads.write(b"".join(parts))
        self.count += 1
        if not self.count % 500:
            os.pwrite(self._count, b"%d" % self.count, 0)

    def line(self, *words: Any) -> None:
        """Log a line, past every buffer of this process."""
        os.write(self._lines, json.dumps(words, default=str).encode() + b"\n")

    def flush(self) -> None:
        """Write out what is buffered, before a fork or the end."""
        os.pwrite(self._count, b"%d" % self.count, 0)
        self._reads.flush()


def counted(folder: Path) -> int:
    """Return about how many reads the processes have logged so far."""
    return sum(int(path.read_text() or 0) for path in folder.glob("*.count"))


def reads_in(folder: Path) -> Iterator[Read]:
    """Yield every read of every process, process by process."""
    for path in sorted(folder.glob("*.reads")):
        yield from _unpacked(path.read_bytes())


def lines_in(folder: Path) -> Iterator[tuple[str, list[Any]]]:
    """Yield each process's name with each of its lines; a last line that a kill cut off is left out."""
    for path in sorted(folder.glob("*.lines")):
        for line in path.read_text().splitlines():
            if line.endswith("]"):
                yield path.stem, json.loads(line)


def _unpacked(data: bytes) -> Iterator[Read]:
    at, end = 0, len(data)
    unpack, size, width, pairs = HEAD.unpack_from, HEAD.size, PAIR.size, PAIR.iter_unpack
    view = memoryview(data)
    while at + size <= end:
        kind, flags, number, start, stop, count = unpack(data, at)
        at += size
        if at + count * width > end:
            return
        yield Read(kind, flags, number, start, stop, list(pairs(view[at : at + count * width])))
        at += count * width
