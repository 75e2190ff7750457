"""Rules of the chapter "A healthy data diet"."""

import numpy as np

from datadiet.chapters.healthy_diet.runs import FACTUAL, FULL, HIGH, LOW, chosen_mix, fair_table, of_arm
from datadiet.chapters.parts import difference, part, per_task

USEFUL = -0.02  # a mix that loses more accuracy than this against full augmentation has bought its fairness: no gain
A_GAIN = 0.02  # demographic parity that counts as a gain


def _differences(settings, table, task, pairs):
    """Paired differences over the seeds of (metric, arm, other arm), each arm a name with its shares or None."""
    found = fair_table(settings, table)
    arm = {each: of_arm(found, task, *each) for _, *both in pairs for each in both}
    return [difference(arm[one][f"test_{what}"], arm[other][f"test_{what}"]) for what, one, other in pairs]


@per_task
def hdd_1(settings, table, task):
    """A pruned mix is fairer than full augmentation, and as useful."""
    shares = chosen_mix(settings, fair_table(settings, table), task)
    healthy, full = ("healthy GE", shares or tuple(settings["mixes"][0])), (FULL, None)
    asked = [(what, healthy, full) for what in ("parity", "odds", "accuracy")]
    parity, odds, accuracy = _differences(settings, table, task, asked)
    if shares is None:  # nothing may be judged before every pair of shares could have been chosen
        parity = odds = accuracy = np.array([])
    name = f"{task}: healthy GE mix - full augmentation"
    return [
        part(f"{name}, {what}", np.where(accuracy > USEFUL, gain, np.minimum(gain, 0)), above=0.0)
        for what, gain in (("demographic parity", parity), ("equality of odds", odds))
    ]


@per_task
def hdd_2(settings, table, task):
    """Some counterfactuals do nothing for fairness; others do."""
    low, high, factual = ((name, None) for name in (LOW, HIGH, FACTUAL))
    nothing, something = _differences(settings, table, task, [("parity", low, factual), ("parity", high, low)])
    return [
        part(f"{task}: adding the counterfactuals of lowest GE - none, demographic parity", nothing, below=A_GAIN),
        part(f"{task}: adding those of highest GE - of lowest GE, demographic parity", something, above=0.0),
    ]


RULES = {"HDD-1": hdd_1, "HDD-2": hdd_2}
