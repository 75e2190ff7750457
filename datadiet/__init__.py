"""datadiet: which training examples matter, when such scores can be trusted, and how much data can go.

The package behind the book of the same name. Importing it costs nothing: torch and transformers are imported only by the
modules that train (``models``, ``gradnorm``, ``train``).
"""

__version__ = "0.1.0"
