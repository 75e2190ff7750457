"""datadiet: which training examples matter, when such scores can be trusted, and how much data can go.

The package behind the book of the same name. Importing it costs nothing and changes nothing in the process: torch and
transformers are imported only by the rooms that train (``nets``, ``gradnorm``, ``training``).
"""

__version__ = "0.1.0"
