"""datadiet: which training examples matter, when such scores can be trusted, and how much data can go.

The package behind the book of the same name. Importing it costs nothing: torch and transformers are imported only by the
modules that train (``models``, ``gradnorm``, ``train``).
"""

import warnings

__version__ = "0.1.0"

# Without widgets a notebook shows its progress bars as text, which is all we want; tqdm warns of it on every page.
warnings.filterwarnings("ignore", message="IProgress not found")
