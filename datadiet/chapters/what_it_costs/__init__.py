"""What it costs to choose."""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
