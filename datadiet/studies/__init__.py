"""The experiments of the chapters: which runs each one asks for, and the tidy tables it reads off them.

    settings = settings_of("lab", "score-timing")       # or settings_of("lab", seeds=5)
    table = runs.sweep(score_timing(settings), settings["engine"])
    agreement(settings, table)                          # a row for each task, seed and scoring point

A chapter, ``datadiet plan`` and ``datadiet sweep`` all ask these functions, so they mean the same runs. One module a chapter.
"""

from datadiet.studies.conflict import who_is_right
from datadiet.studies.core import (
    RETRAIN_AT,
    arm,
    measure,
    of_chapter,
    of_task,
    parameters,
    profiles,
    pruned,
    scoring,
    settings_of,
)
from datadiet.studies.costs import (
    ALIKE,
    EXPERIMENTS,
    LIMIT,
    ONE,
    OURS,
    PLAIN,
    STEP,
    benchmark,
    bills,
    exponents,
    multiplications,
    norms_over,
    ratios,
    time_here,
)
from datadiet.studies.dynamic import (
    dynamic_arm,
    dynamic_arms,
    dynamic_bill,
    dynamic_costs,
    dynamic_pruning,
    planned_cost,
    static_at_cost_of,
)
from datadiet.studies.fair import (
    CHOSEN_AMONG,
    FACTUAL,
    FULL,
    HIGH,
    LOW,
    chosen_mix,
    constant,
    fair_arms,
    fair_table,
    healthy_diet,
    minority,
    of_arm,
)
from datadiet.studies.fractions import pruning_fractions
from datadiet.studies.images import (
    correlations,
    grand_at_init,
    halves,
    likeness,
    picture_arm,
    restore_now,
    restore_then,
    standing,
)
from datadiet.studies.influence import (
    influence_agreement,
    influence_arm,
    influence_gains,
    influence_scores,
    influence_sources,
)
from datadiet.studies.joint import FORMS as JOINT_FORMS
from datadiet.studies.joint import joint_arms, joint_lengths, joint_pruning, joint_result, joint_results
from datadiet.studies.landscape import barriers, behind, branched, lines, loss_landscape, velocities
from datadiet.studies.noise import label_noise
from datadiet.studies.pool import pool_arms, pool_overlap, pool_result, pool_results, weak_pool, weak_runs
from datadiet.studies.timing import agreement, approximation, averaging, score_timing, skew

STUDIES = {
    "score-timing": score_timing,
    "pruning-fractions": pruning_fractions,
    "influence-scores": influence_scores,
    "label-noise": label_noise,
    "who-is-right": who_is_right,
    "dynamic-pruning": dynamic_pruning,
    "healthy-diet": healthy_diet,
    "grand-at-init": grand_at_init,
    "loss-landscape": loss_landscape,
    "joint": joint_pruning,
    "weak-pool": weak_pool,
}


def wanted(chapter: str, settings: dict) -> list[dict]:
    """The runs that `chapter` asks for, from the settings of a whole profile."""
    return STUDIES[chapter](of_chapter(settings, chapter))


__all__ = [
    "ALIKE", "CHOSEN_AMONG", "EXPERIMENTS", "FACTUAL", "FULL", "HIGH", "JOINT_FORMS", "LIMIT", "LOW", "ONE", "OURS", "PLAIN",
    "RETRAIN_AT", "STEP", "STUDIES", "agreement", "approximation", "arm", "averaging", "barriers", "behind", "benchmark", "bills",
    "branched", "chosen_mix", "constant", "correlations", "dynamic_arm", "dynamic_arms", "dynamic_bill", "dynamic_costs",
    "dynamic_pruning", "exponents", "fair_arms", "fair_table", "grand_at_init", "halves", "healthy_diet",
    "influence_agreement", "influence_arm", "influence_gains", "influence_scores", "influence_sources", "joint_arms",
    "joint_lengths", "joint_pruning", "joint_result", "joint_results", "label_noise", "likeness", "lines", "loss_landscape",
    "measure", "minority", "multiplications", "norms_over", "of_arm", "of_chapter", "of_task", "parameters",
    "picture_arm", "planned_cost", "pool_arms", "pool_overlap", "pool_result", "pool_results", "profiles", "pruned",
    "pruning_fractions", "ratios", "restore_now", "restore_then", "score_timing", "scoring", "settings_of", "skew", "standing",
    "static_at_cost_of", "time_here", "velocities", "wanted", "weak_pool", "weak_runs", "who_is_right",
]
