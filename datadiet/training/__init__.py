"""Training: one loop for every kind of task, the arrays it records, and the runs that need more: pools, mixes, branches."""
