"""A healthy data diet: fairness by the choice of training sentences."""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
