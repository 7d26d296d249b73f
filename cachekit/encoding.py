"""Encode a value while what it reads is captured."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation

from cachekit.core.capture import Capture
from cachekit.core.codecs import Codec
from cachekit.exceptions import UncacheableValue


def encoded(codec: Codec, capture: Capture, value: Any) -> bytes:
    """Encode inside the capture, so that what a lazy value reads is captured too."""
    if capture.obstacle:
        return b""
    try:
        return codec.dumps(value)
    except UncacheableValue as error:
        capture.refuse(str(error))
        return b""


async def aencoded(codec: Codec, capture: Capture, value: Any) -> bytes:
    """Like `encoded`; in a thread where a lazy value asks the database."""
    try:
        return b"" if capture.obstacle else codec.dumps(value)
    except UncacheableValue as error:
        if not isinstance(error.__cause__, SynchronousOnlyOperation):
            capture.refuse(str(error))
            return b""
    return await sync_to_async(encoded)(codec, capture, value)
