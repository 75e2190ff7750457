"""What the top of the ranking holds."""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
