"""Tables of the guide: minutes of each lab, and what the published runs gave where a class will look."""

import pandas as pd

from datadiet.chapters import arms, label_noise, pruning_fractions, score_timing
from datadiet.chapters.arms import by_seed
from datadiet.chapters.settings import of_task, settings_of
from datadiet.chapters.what_it_costs.runs import benchmark
from datadiet.runs import published


def labs() -> pd.DataFrame:
    """Minutes that `datadiet run CHAPTER --profile lab` took from an empty store, longest first, with the load of the machine."""
    rows = benchmark("labs")
    found = rows.groupby("case")[["seconds", "load"]].median().sort_values("seconds", ascending=False)
    return pd.DataFrame({"lab": found.index, "minutes": (found["seconds"] / 60).to_numpy(), "load": found["load"].to_numpy()})


def _row(session: str, what: str, values: pd.Series) -> dict:
    spread = {"mean": values.mean(), "least": values.min(), "greatest": values.max(), "seeds": len(values)}
    return {"session": session, "what": what, **spread}


def expected() -> pd.DataFrame:
    """What the published runs of the profiles standard and gpu gave: mean, least and greatest over seeds."""
    rows = []
    settings, task = settings_of("standard", "score-timing"), "trec6"
    table = published(score_timing.runs.wanted(settings))
    found = score_timing.runs.agreement(settings, table).set_index("at")
    for at in ("0", "30", "1ep"):
        for name in ("reliability", "validity"):
            rows.append(_row("1", f"TREC-6, {name} of EL2N at {at}", found.loc[[at], name]))
    settings, task = settings_of("gpu", "pruning-fractions"), "mnli_subset"
    table, own = published(pruning_fractions.runs.wanted(settings)), of_task(settings, task)
    for rule in ("random", "hardest", "easiest"):
        values = by_seed(table, arms.pruned(own, task, rule, 0.5))
        rows.append(_row("2", f"MNLI, accuracy with the {rule} half", values))
    settings = settings_of("standard", "label-noise")
    table = published(label_noise.runs.wanted(settings))
    for task in settings["tasks"]:
        arm = label_noise.runs.full(settings, task, label_noise.runs.NOISY)
        found = label_noise.runs.detection(table, arm, ["el2n"], ["1ep"])
        rows.append(_row("3", f"{task}, flips among the hardest tenth by EL2N, one epoch", found["recall"]))
    return pd.DataFrame(rows)


def machine() -> list[str]:
    """Where the labs were timed: hardware and threads."""
    rows = benchmark("labs")
    return sorted({f"{hardware}, {threads} threads" for hardware, threads in zip(rows["hardware"], rows["threads"], strict=True)})
