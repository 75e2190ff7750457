"""Rules of the chapter "A healthy data diet"."""

from datadiet.chapters.healthy_diet.runs import FACTUAL, FULL, HIGH, LOW, arms, chosen_shares, measured, shares_of
from datadiet.chapters.parts import difference, part, per_task


def full(settings: dict, task: str) -> list[dict]:
    """Runs on all factual sentences."""
    return arms(settings, task)[FACTUAL, *shares_of(settings, FACTUAL)[0]]


def _of(settings, found, name, metric):
    """A metric on test of an arm that has one pair of shares, by seed."""
    (pair,) = shares_of(settings, name)
    return found[name, *pair][f"test_{metric}"]


@per_task
def hdd_1(settings, table, task, margins):
    """A pruned mix is fairer than full augmentation, and as useful."""
    found = measured(settings, table, task)
    pair = chosen_shares(settings, found)

    def gain(metric):
        full = _of(settings, found, FULL, metric)
        # Nothing may be judged before every pair of shares could have been chosen.
        return difference(found["healthy GE", *pair][f"test_{metric}"], full) if pair else full[:0]

    useful = gain("accuracy") >= margins["useful"]
    parts = []
    for metric, name in (("parity", "demographic parity"), ("odds", "equality of odds")):
        fairer = gain(metric)
        counted = fairer.where(useful[fairer.index], fairer.clip(upper=0.0))
        parts.append(part(f"{task}: healthy GE mix - full augmentation, {name}", counted, above=margins[metric]))
    return parts


@per_task
def hdd_2(settings, table, task, margins):
    """Some counterfactuals do nothing for fairness; others do."""
    found = measured(settings, table, task)
    low, high, factual = (_of(settings, found, name, "parity") for name in (LOW, HIGH, FACTUAL))
    return [
        part(f"{task}: adding the counterfactuals of lowest GE - none, demographic parity", difference(low, factual),
             below=margins["nothing"]),
        part(f"{task}: adding those of highest GE - of lowest GE, demographic parity", difference(high, low),
             above=margins["something"]),
    ]


RULES = {"HDD-1": hdd_1, "HDD-2": hdd_2}
