"""The recipe for a deny-list, as docs/how-to/sessions-and-tokens.md shows it."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from cachekit import cached
from tests.zoo.models import RevokedToken


@cached(3600)
def is_revoked(jti: str) -> bool:
    """Tell whether a token was revoked. That it was not is kept too, until its row is written."""
    return RevokedToken.objects.filter(pk=jti).exists()


def revoke(jti: str, expires_at: datetime) -> None:
    """Take a token no more, from now on and everywhere."""
    RevokedToken.objects.get_or_create(pk=jti, defaults={"expires_at": expires_at})


def forget_expired() -> None:
    """Drop what need not be known any more."""
    RevokedToken.objects.filter(expires_at__lt=timezone.now()).delete()
