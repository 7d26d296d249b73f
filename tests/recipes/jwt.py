"""The deny-list under djangorestframework-simplejwt, as docs/how-to/sessions-and-tokens.md shows it."""

from __future__ import annotations

from typing import Any

from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken

from tests.recipes.denylist import is_revoked


class RevocableJWTAuthentication(JWTAuthentication):
    """Refuses tokens that were revoked."""

    def get_validated_token(self, raw_token: bytes) -> Any:
        """Return the token. Raises InvalidToken."""
        token = super().get_validated_token(raw_token)
        if is_revoked(token["jti"]):
            raise InvalidToken("Token is revoked")
        return token
