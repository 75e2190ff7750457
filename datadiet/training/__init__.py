"""Training: one loop for every kind of task, what it records, and the runs that need more: pools, mixes, branches."""
