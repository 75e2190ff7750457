"""The cost of choosing examples."""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
