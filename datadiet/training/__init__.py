"""Training: one loop for every kind of task, the arrays it records, and the runs that need more: pools, mixes, branches."""

import datadiet.nets  # noqa: F401 - imports tqdm without its warning
