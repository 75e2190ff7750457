"""What all runs say together: every published pruned arm beside the random arm of the same size, budget and seeds."""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
