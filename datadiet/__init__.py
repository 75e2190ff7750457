"""datadiet: which training examples matter, when such scores can be trusted, and how much data can go.

The package behind the book of the same name. Importing it costs nothing and changes nothing in the process: a room (``scores``,
``prune``, ``data``) is loaded when its name is first used, torch and transformers only by the rooms that train (``nets``,
``gradnorm``, ``training``).
"""

from importlib import import_module
from pkgutil import iter_modules

__version__ = "0.1.0"


def __getattr__(name):
    if not name.startswith("_"):
        try:
            return import_module(f"datadiet.{name}")
        except ModuleNotFoundError as problem:
            if problem.name != f"datadiet.{name}":
                raise
    raise AttributeError(f"module 'datadiet' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *(each.name for each in iter_modules(__path__))})
