"""Joint tasks: intents and slots."""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
