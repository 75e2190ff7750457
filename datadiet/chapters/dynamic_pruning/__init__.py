"""Dynamic pruning: choosing anew while training."""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
