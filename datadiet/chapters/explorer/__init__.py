"""The explorer: the training examples of published sets on one map, and what pruning would leave of them."""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
