"""The ledger's Lua scripts once more, line by line in Python; `test_scripts_model.py` holds the two together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

SKEW = 1_000_000
LEASE = 10_000_000
MOST_MOVED = 200


class Server(Protocol):
    """What scripts call: `redis_model.RedisModel`."""

    run_id: bytes

    def clock(self) -> int: ...
    def find(self, key: bytes) -> Any: ...
    def set(self, key: bytes, value: bytes, milliseconds: int = 0) -> None: ...
    def expire(self, key: bytes, milliseconds: int) -> None: ...
    def delete(self, key: bytes) -> bool: ...
    def hash_of(self, key: bytes) -> dict[bytes, bytes]: ...
    def ring(self, bell: bytes) -> None: ...
    def append(self, stream: bytes, fields: dict[bytes, bytes]) -> None: ...


def text(number: int) -> bytes:
    return b"%d" % number


# ledger.lua


def begin_epoch(server: Server, root: bytes, epoch: bytes, now: int) -> None:
    kept = server.find(root) or {}
    for field in kept:
        if field.startswith(b"^"):
            server.delete(root + b":" + field[1:])
    server.delete(root)
    fresh = server.hash_of(root)
    if b">" in kept and int(kept[b">"]) > int(kept.get(b"last", 0)):
        fresh[b"*"] = fresh[b">"] = text(now + LEASE)
    fresh.update({b"epoch": epoch, b"last": text(now), b"seq": kept.get(b"seq", b"0"), b"server": server.run_id})
    fresh[b"gen"] = kept.get(b"gen", text(now))


def clock(server: Server, root: bytes, fresh: bytes) -> tuple[bytes, int, int]:
    now = server.clock()
    state = server.find(root) or {}
    if b"epoch" not in state or b"last" not in state or int(state[b"last"]) > now + SKEW:
        begin_epoch(server, root, fresh, now)
        return fresh, now, now
    return state[b"epoch"], int(state[b"last"]), now


# points.lua


def intents_of(root: bytes, place: bytes, field: bytes) -> bytes:
    return root + b"!" + place + b":" + field


def held(server: Server, root: bytes, place: bytes, field: bytes) -> int:
    where = server.find(root + b":" + place if place else root) or {}
    return int(where.get(field, 0))


def fold(bucket: dict[bytes, bytes]) -> None:
    floor = int(bucket.get(b"f", 0))
    points = sorted(((int(point), field) for field, point in bucket.items() if field != b"f"), key=lambda one: one[0])
    for point, field in points[: len(points) // 2]:
        del bucket[field]
        floor = max(floor, point)
    bucket[b"f"] = text(floor)


def note(moved: list[bytes], place: bytes, field: bytes, point: int) -> None:
    name = (b"d" if place else b"w") + field
    moved.append(len(name).to_bytes(2, "big") + name + b"%016d" % point)


def put(server: Server, root: bytes, place: bytes, field: bytes, point: int, now: int, limit: int) -> None:
    if not place:
        server.hash_of(root)[field] = text(point)
        return
    births = server.hash_of(root)
    if b"^" + place not in births:
        births[b"^" + place] = b"1"
        server.hash_of(root + b":" + place)[b"f"] = b"0"
    elif server.find(root + b":" + place) is None:
        server.hash_of(root + b":" + place)[b"f"] = text(now)
    bucket = server.hash_of(root + b":" + place)
    bucket[field] = text(point)
    if len(bucket) > limit:
        fold(bucket)


def publish(server: Server, keys: Sequence[bytes], kind: bytes, moved: Sequence[bytes]) -> None:
    fields = server.hash_of(keys[0])
    seq = fields[b"seq"] = text(int(fields.get(b"seq", 0)) + 1)
    told = b"*" if len(moved) > MOST_MOVED else b"".join(moved)
    server.append(keys[1], {b"seq": seq, b"epoch": fields[b"epoch"], b"kind": kind, b"moved": told})


def pairs(argv: Sequence[bytes], start: int) -> Iterator[tuple[bytes, bytes]]:
    return zip(argv[start::2], argv[start + 1 :: 2], strict=True)


# The scripts


def attach(server: Server, keys: Sequence[bytes], argv: Sequence[bytes]) -> int:
    written = (server.find(keys[0]) or {}).get(b"server")
    if written != server.run_id:
        begin_epoch(server, keys[0], argv[0], server.clock())
        if written is not None:
            publish(server, keys, b"epoch", ())
    return 1


def begin(server: Server, keys: Sequence[bytes], argv: Sequence[bytes]) -> list[bytes]:
    root = keys[0]
    epoch, last, now = clock(server, root, argv[0])
    point = max(last, now)
    server.hash_of(root)[b"last"] = text(point)
    if not argv[1]:
        return [epoch, text(point), b"", b""]
    holder = server.find(keys[1])
    if holder is not None:
        server.set(keys[2] + holder, b"1", 60_000)
        return [epoch, text(point), b"", holder]
    server.set(keys[1], argv[1], int(argv[2]))
    return [epoch, text(point), argv[1], b""]


def intend(server: Server, keys: Sequence[bytes], argv: Sequence[bytes]) -> bytes:
    root, limit, lease, transaction = keys[0], int(argv[1]), int(argv[2]), argv[3]
    _, last, now = clock(server, root, argv[0])
    point, moved = max(last, now) + lease, list[bytes]()
    for place, field in pairs(argv, 5):
        key = intents_of(root, place, field)
        server.hash_of(key)[transaction] = text(point)
        server.expire(key, -(-lease // 1000) + 2000)
        greatest = max(point, held(server, root, place, field))
        note(moved, place, field, greatest)
        put(server, root, place, field, greatest, max(last + 1, now), limit)
    fields = server.hash_of(root)
    fields[b">"] = text(max(point, int(fields.get(b">", 0))))
    publish(server, keys, b"intent", moved)
    return text(point)


def invalidate(server: Server, keys: Sequence[bytes], argv: Sequence[bytes]) -> bytes:
    root, limit, transaction = keys[0], int(argv[1]), argv[5]
    _, last, now = clock(server, root, argv[0])
    point = max(last + 1, now)
    moved: list[bytes] = []
    for place, field in pairs(argv, 6):
        greatest, standing = point, held(server, root, place, field)
        if standing > point:
            known, others = settled(server, intents_of(root, place, field), transaction)
            greatest = max(point, others) if known or others > 0 else standing
        note(moved, place, field, greatest)
        put(server, root, place, field, greatest, max(last + 1, now), limit)
    server.hash_of(root)[b"last"] = text(point)
    if len(keys) > 2:
        server.set(keys[2], b"1", 60_000)
    publish(server, keys, b"settled", moved)
    return text(point)


def settled(server: Server, key: bytes, transaction: bytes) -> tuple[bool, int]:
    """Take a transaction's intent away; return whether it stood, and the greatest of the others'."""
    intents = server.find(key) or {}
    known = bool(transaction) and intents.pop(transaction, None) is not None
    others = max((int(other) for other in intents.values()), default=0)
    if known and not intents:
        server.delete(key)
    return known, others


def withdraw(server: Server, keys: Sequence[bytes], argv: Sequence[bytes]) -> bytes:
    root, limit, transaction = keys[0], int(argv[1]), argv[2]
    epoch, last, now = clock(server, root, argv[0])
    moved: list[bytes] = []
    for place, field in pairs(argv, 3):
        known, others = settled(server, intents_of(root, place, field), transaction)
        if known:
            greatest = max(last + 1, now, others)
            note(moved, place, field, greatest)
            put(server, root, place, field, greatest, max(last + 1, now), limit)
    server.hash_of(root)[b"last"] = text(max(last + 1, now))
    if moved:
        publish(server, keys, b"withdrawn", moved)
    return epoch


def mend(server: Server, keys: Sequence[bytes], argv: Sequence[bytes]) -> bytes:
    root = keys[0]
    _, last, now = clock(server, root, argv[0])
    stamp = text(max(last + 1, now))
    server.hash_of(root)[b"last"] = stamp
    for place in argv[1:]:
        if b"^" + place in server.hash_of(root):
            server.hash_of(root + b":" + place).setdefault(b"f", stamp)
    return stamp


def renew(server: Server, keys: Sequence[bytes], argv: Sequence[bytes]) -> int:
    if server.find(keys[0]) == argv[0]:
        server.expire(keys[0], int(argv[1]))
        return 1
    return 0


def release(server: Server, keys: Sequence[bytes], argv: Sequence[bytes]) -> int:
    if server.find(keys[0]) == argv[0]:
        server.delete(keys[0])
    if server.delete(keys[1]):
        server.ring(keys[2])
        server.expire(keys[2], 5000)
    return 1
