"""Whole numbers in few bytes: in ascending order, each as its distance from the one before, seven bits a byte."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST_NUMBER = 18
"""Digits; a number of so many fits into 64 bits."""
_LAST_SHIFT = 63


def written_numbers(numbers: Iterable[int]) -> bytes:
    """Write numbers, none below zero."""
    out, before = bytearray(), 0
    for number in sorted(numbers):
        left, before = number - before, number
        while left > 127:
            out.append(left & 127 | 128)
            left >>= 7
        out.append(left)
    return bytes(out)


def read_numbers(data: bytes, at: int, count: int) -> tuple[tuple[int, ...], int]:
    """Read so many numbers from a place on; return them and the place behind. Raises ValueError, IndexError."""
    found, before = [], 0
    for _ in range(count):
        shift = 0
        while (byte := data[at]) > 127:
            before += (byte & 127) << shift
            shift, at = shift + 7, at + 1
            if shift > _LAST_SHIFT:
                raise ValueError("A number is longer than any that was written.")
        before, at = before + (byte << shift), at + 1
        found.append(before)
    return tuple(found), at
