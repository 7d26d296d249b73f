"""The recipe for tokens of Django REST framework, as docs/how-to/sessions-and-tokens.md shows it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.exceptions import AuthenticationFailed

from cachekit import cached


@cached(600)
def user_of_token(key: str) -> Any:
    """Return whose token this is: two rows by primary key, so nothing but a write to one of them is noticed."""
    token = Token.objects.get(pk=key)
    return get_user_model().objects.defer("password").get(pk=token.user_id)


class CachedTokenAuthentication(TokenAuthentication):
    """Asks the cache who a token stands for."""

    def authenticate_credentials(self, key: str) -> tuple[Any, Token]:
        """Return the user and the token. Raises AuthenticationFailed."""
        try:
            user = user_of_token(key)
        except Token.DoesNotExist:
            raise AuthenticationFailed("Invalid token.") from None
        if not user.is_active:
            raise AuthenticationFailed("User inactive or deleted.")
        return user, Token(key=key, user=user)
