"""Do other scores do better?"""

from datadiet.chapters import rooms

__getattr__ = rooms(__name__)
