"""The loss landscape."""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
