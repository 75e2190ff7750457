"""datadiet: which training examples matter, when such scores can be trusted, and how much data can go.

The package behind the book of the same name. Importing it costs nothing: torch and transformers are imported only by the
modules that train (``models``, ``gradnorm``, ``train``).
"""

import os
import warnings

__version__ = "0.1.0"

# Read by torch when it is first imported: threads that wait for each other sleep instead of spinning. Where another process wants
# the same cores, spinning makes small models many times slower, and a class shares its machines.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Without widgets a notebook shows its progress bars as text, which is all the pages want: widgets load scripts from outside
# the book. tqdm, which transformers imports, would write a warning of it onto every page.
warnings.filterwarnings("ignore", message="IProgress not found")
