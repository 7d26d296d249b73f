"""`make demo`: start everything the shop needs, and stop it again."""
