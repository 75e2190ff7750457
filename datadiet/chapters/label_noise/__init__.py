"""Wrong labels among the hardest examples."""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
