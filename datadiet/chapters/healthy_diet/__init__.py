"""A healthy data diet: fairness by choosing."""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
