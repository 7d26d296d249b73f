"""Have a login for the demo's staff."""

from __future__ import annotations

import os
import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

NAME = "staff"


class Command(BaseCommand):
    """Create the demo's superuser and print the login; the password is DEMO_PASSWORD or made up."""

    help = "Create the demo's superuser 'staff' and print the login; the password is DEMO_PASSWORD or made up."

    def handle(self, *args: Any, **options: Any) -> None:
        """Create the user, or set the password that DEMO_PASSWORD names."""
        users = get_user_model()
        given = os.environ.get("DEMO_PASSWORD", "")
        user = users.objects.filter(username=NAME).first()
        if user is not None and not given:
            self.stdout.write(
                f"Login {NAME}, with the password printed when it was made. Set DEMO_PASSWORD to change it."
            )
            return
        password = given or secrets.token_urlsafe(9)
        if user is None:
            users.objects.create_superuser(NAME, f"{NAME}@example.com", password)
        elif not user.check_password(password):
            user.set_password(password)
            user.save(update_fields=["password"])
        self.stdout.write(f"Login {NAME}, password {password if not given else 'as in DEMO_PASSWORD'}")
