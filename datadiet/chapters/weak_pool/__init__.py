"""Weak pool: additional training data, labelled by a weak model."""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
