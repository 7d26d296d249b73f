"""The shop's commands, one a module."""
