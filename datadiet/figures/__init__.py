"""The figures of the chapters. One function a figure, drawn alike from live and from published runs; one module a chapter.

    here = View("This machine", settings, table)
    agreement([here, published])            # a panel for each view and task

Lines are means over seeds, bars are 95 % t-intervals. Colours are the colour-blind set of seaborn, doubled by markers.
"""

from datadiet.figures.conflict import who_wins
from datadiet.figures.core import View, views
from datadiet.figures.costs import gradient_costs, growth
from datadiet.figures.dynamic import against_random, frontier, frontier_in_seconds, one_change
from datadiet.figures.fair import counterfactuals, minority, utility_and_fairness
from datadiet.figures.fractions import accuracy_by_fraction, budgets, windows
from datadiet.figures.images import (
    checkpoint_fault,
    norm_correlations,
    picture_accuracy,
    picture_budgets,
    standing,
    transfer,
)
from datadiet.figures.influence import influence_agreement, influence_arms, influence_gains
from datadiet.figures.joint import joint_arms, joint_lengths, two_slot_measures
from datadiet.figures.landscape import barriers, error_on_the_line, kernel_velocity
from datadiet.figures.noise import dropping, finding_flips, finding_flips_by_rate, human_errors, noisy_windows
from datadiet.figures.pool import pool_errors, pool_gains
from datadiet.figures.timing import accuracy_by_point, agreement, approximation, averaging, class_shares

__all__ = [
    "View", "accuracy_by_fraction", "accuracy_by_point", "against_random", "agreement", "approximation", "averaging",
    "barriers", "budgets", "checkpoint_fault", "class_shares", "counterfactuals", "dropping", "error_on_the_line",
    "finding_flips", "finding_flips_by_rate", "frontier", "frontier_in_seconds", "gradient_costs", "growth", "human_errors",
    "influence_agreement", "influence_arms", "influence_gains", "joint_arms", "joint_lengths", "kernel_velocity", "minority",
    "noisy_windows", "norm_correlations", "one_change", "picture_accuracy", "picture_budgets", "pool_errors", "pool_gains",
    "standing", "transfer", "two_slot_measures", "utility_and_fairness", "views", "who_wins", "windows",
]
