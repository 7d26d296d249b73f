"""Load and save several entries in one exchange: all of them, then the points of all their tags."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cachekit.core import dependencies, steps
from cachekit.core.entry import NEVER, Found, Header, unseal
from cachekit.stores.ledger import Ledger
from cachekit.stores.scripts import Exchange, Talk
from cachekit.stores.wire import pack, raised


def talks(ledger: Ledger) -> dict[type, Callable[[Any], Talk]]:
    """Return the talks of a ledger about many entries, by step."""
    many = Many(ledger)
    return {steps.LoadMany: many.load, steps.SaveMany: many.save}


def sent(ledger: Ledger, step: steps.Save) -> tuple[bytes, int]:
    """Return how an entry is stored without waiting: packed commands, and how many replies will come."""
    ledger.remember(step.key, step.tags)
    return pack("SET", step.key, step.data, *(("PX", step.ttl) if step.ttl else ())), 1


class Question:
    """The points of some tags: what to ask of the root, and of the buckets that are known to exist."""

    def __init__(self, root: str, blobs: Iterable[bytes], known: set[bytes]) -> None:
        layouts = [dependencies.layout(blob) for blob in blobs]
        self.whole = tuple(dict.fromkeys(name for one in layouts for name in one.whole))
        wanted: dict[bytes, dict[bytes, None]] = {}
        for layout in layouts:
            for place, digests in layout.places:
                wanted.setdefault(place, {}).update(dict.fromkeys(digests))
        self.places = {place: tuple(digests) for place, digests in wanted.items()}
        self.asked = [place for place in self.places if place in known]
        births = [b"^" + place for place in self.places]
        commands = [pack("HMGET", root, "epoch", "last", *births, *self.whole)]
        commands += [pack("HMGET", root.encode() + b":" + place, "f", *self.places[place]) for place in self.asked]
        self.payload, self.replies = b"".join(commands), len(commands)


class Points:
    """The answer: epoch, last, and the points of whole things and of buckets."""

    def __init__(self, question: Question, replies: Sequence[Any]) -> None:
        root = replies[0]
        count = len(question.places)
        self.epoch: bytes = root[0] or b""
        self.last = 0 if _number(root[1]) == NEVER else int(root[1] or 0)
        births = zip(question.places, root[2 : 2 + count], strict=True)
        self.born = {place for place, birth in births if birth is not None}
        self._whole = dict(zip(question.whole, map(_number, root[2 + count :]), strict=True))
        self._buckets: dict[bytes, dict[bytes, int]] = {}
        for place, bucket in zip(question.asked, replies[1:], strict=True):
            if bucket[0] is not None:
                names = (b"f", *question.places[place])
                self._buckets[place] = dict(zip(names, map(_number, bucket), strict=True))

    def newest(self, blob: bytes) -> int:
        """Return the newest point among an entry's tags; NEVER where a bucket was lost."""
        layout = dependencies.layout(blob)
        newest = max(self._whole[name] for name in layout.whole)
        for place, digests in layout.places:
            bucket = self._buckets.get(place)
            if bucket is not None:
                newest = max(newest, bucket[b"f"], *(bucket[one] for one in digests))
            elif place in self.born:
                return NEVER
        return newest


class Many:
    """Talks of a ledger about many entries."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: set[bytes] = set()
        self._seen: dict[str, bytes] = {}

    def load(self, step: steps.LoadMany) -> Talk:
        """Fetch entries with the points of the tags that they had last time; ask again only if they name others.

        As with one entry the points come after the entries, and a command that writes nothing proves that writes are
        taken.
        """
        ledger = self._ledger
        proof, proofs = ledger.proving()
        question = self._question({self._seen[key] for key in step.keys if key in self._seen})
        asked = b"%b%b%b" % (pack("MGET", *step.keys), question.payload, proof)
        datas, *replies = raised((yield Exchange(asked, 1 + question.replies + proofs)))
        proofs_given = replies[question.replies :]
        entries = [_readable(*unseal(data, key)) for key, data in zip(step.keys, datas, strict=True)]
        blobs = {header.tags for header, _ in entries if header is not None}
        points = Points(question, replies[: question.replies])
        while not (self._covers(question, blobs) and points.born <= set(question.asked)):
            self._known |= points.born
            question = self._question(blobs)
            points = Points(question, raised((yield Exchange(question.payload, question.replies))))
        self._remember(step.keys, entries)
        since = ledger.proven_since(proofs_given, points.last)
        return [_found(points, header, payload, since) for header, payload in entries]

    def save(self, step: steps.SaveMany) -> Talk:
        """Store entries; whether one was born stale its next reader sees."""
        commands = []
        for one in step.saves:
            ttl = ("PX", one.ttl) if one.ttl else ()
            commands.append(pack("SET", one.key, one.data, *ttl))
        raised((yield Exchange(b"".join(commands), len(commands))))

    def _question(self, blobs: Iterable[bytes]) -> Question:
        if len(self._known) > 16_384:
            self._known = set()
        return Question(self._ledger.root, blobs, self._known)

    def _covers(self, question: Question, blobs: Iterable[bytes]) -> bool:
        for blob in blobs:
            layout = dependencies.layout(blob)
            if not set(layout.whole) <= set(question.whole):
                return False
            for place, digests in layout.places:
                if not set(digests) <= set(question.places.get(place, ())):
                    return False
        return True

    def _remember(self, keys: Sequence[str], entries: Sequence[tuple[Header | None, bytes]]) -> None:
        if len(self._seen) > 50_000:
            self._seen.clear()
        for key, (header, _) in zip(keys, entries, strict=True):
            if header is not None and len(header.tags) <= dependencies.LONGEST_KEPT:
                self._seen[key] = header.tags


def _number(point: bytes | None) -> int:
    """Return a point, none as 0; what somebody else has written there lies after everything."""
    try:
        return int(point or 0)
    except ValueError:
        return NEVER


def _found(points: Points, header: Header | None, payload: bytes, since: int) -> Found:
    newest = points.newest(header.tags) if header is not None else 0
    return Found(header, payload, points.epoch, points.last, newest, since)


def _readable(header: Header | None, payload: bytes) -> tuple[Header | None, bytes]:
    if header is not None:
        try:
            dependencies.layout(header.tags)
        except ValueError:  # somebody else wrote this
            return None, b""
    return header, payload
