"""The guide for teaching: how long labs take, what to expect, and rules that students write before they see the data."""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
