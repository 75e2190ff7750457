"""Weak pool: what to add of what a weak model labelled."""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
