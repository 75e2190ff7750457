"""Pruning fractions: which end to keep, how much, and at what budget?"""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
