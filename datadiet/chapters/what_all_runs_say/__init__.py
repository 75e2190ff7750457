"""What all runs say together: every published pruned arm beside its random twin."""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
