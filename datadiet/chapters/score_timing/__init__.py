"""Score timing: when do scores start to mean something?"""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
