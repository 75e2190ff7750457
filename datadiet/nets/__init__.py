"""Networks: encoders of text with a fresh head, small nets for images, and cheaper dropout and last layers."""

import warnings

# Without widgets a notebook shows its progress bars as text, which is all the pages want: widgets load scripts from outside the
# book. tqdm, which transformers imports, would write a warning of it onto every page; imported here first, it does not.
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="IProgress not found")
    import tqdm.auto  # noqa: F401
