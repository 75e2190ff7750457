"""Who is right, when."""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
