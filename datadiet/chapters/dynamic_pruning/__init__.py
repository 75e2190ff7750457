"""Dynamic pruning: choosing examples anew in the course of training."""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
