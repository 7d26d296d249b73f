"""What the ledger is asked about tags, and what its answers mean."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from cachekit.core import dependencies
from cachekit.core.entry import NEVER
from cachekit.stores.scripts import Ask, Exchange
from cachekit.stores.wire import pack, raised


class Asking:
    """The questions that were asked lately, and which tags were seen with which keys."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._asks: dict[bytes, Ask] = {}
        self._seen: dict[str, bytes] = {}

    def forget(self) -> None:
        """Forget which tags were seen with which keys."""
        self._asks.clear()
        self._seen.clear()

    def ask(self, blob: bytes) -> Ask:
        """Return the commands that fetch the points of these tags: the root first, then the buckets."""
        known = self._asks.get(blob)
        if known is not None:
            return known
        if len(self._asks) > 4096:
            self._asks.clear()
        return self._keep(blob, self._question(dependencies.layout(blob), frozenset()))

    def _keep(self, blob: bytes, ask: Ask) -> Ask:
        if len(blob) <= dependencies.LONGEST_KEPT:
            self._asks[blob] = ask
        return ask

    def _question(self, layout: dependencies.Layout, known: frozenset[bytes]) -> Ask:
        births = [b"^" + place for place, _ in layout.places]
        commands = [pack("HMGET", self.root, "epoch", "last", *births, *layout.whole)]
        for place, digests in layout.places:
            if place in known:
                commands.append(pack("HMGET", self.root.encode() + b":" + place, "f", *digests))
        return Ask(b"".join(commands), len(commands), layout, known)

    def _completed(
        self, blob: bytes, ask: Ask, replies: list[Any]
    ) -> Generator[Exchange, list[Any], tuple[Ask, list[Any]]]:
        """Ask again while there are buckets that the question did not know of."""
        while not (born := ask.born(raised(replies))) <= ask.known:
            ask = self._keep(blob, self._question(ask.layout, ask.known | born))
            replies = yield Exchange(ask.payload, ask.replies)
        return ask, replies

    def points(self, ask: Ask, replies: Sequence[Any]) -> tuple[bytes, int, int]:
        """Return epoch, last and the newest point; NEVER as the point where a bucket was lost, or holds no numbers."""
        try:
            return self._points(ask, raised(replies))
        except ValueError:  # somebody else wrote there
            return replies[0][0] or b"", 0, NEVER

    def _points(self, ask: Ask, replies: Sequence[Any]) -> tuple[bytes, int, int]:
        root = replies[0]
        epoch, last, count = root[0] or b"", int(root[1] or 0), len(ask.layout.places)
        newest = max((int(point) for point in root[2 + count :] if point is not None), default=0)
        if not ask.known:
            return epoch, last, newest
        born = ask.born(replies)
        asked = [place for place, _ in ask.layout.places if place in ask.known]
        for place, bucket in zip(asked, replies[1:], strict=False):
            if bucket[0] is not None:
                newest = max(newest, *(int(point or 0) for point in bucket))
            elif place in born:
                return epoch, last, NEVER
        return epoch, last, newest

    def remember(self, key: str, blob: bytes) -> bytes:
        """Note the tags of an entry, so that they are asked about with it."""
        if len(self._seen) > 50_000:
            self._seen.clear()
        if len(blob) <= dependencies.LONGEST_KEPT:
            self._seen[key] = blob
        return blob
