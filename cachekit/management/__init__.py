"""Commands, and what they show."""
