"""Training: one loop for every kind of task, what it records, and the runs that need more: pools, mixes, branches."""

import datadiet.nets  # noqa: F401 - before accelerate, which imports tqdm: see there
