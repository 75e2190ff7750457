"""What all runs say together: every published pruned run beside its random run, and its kept examples that are misclassified.

The chapter asks for no runs of its own. It reads each published run that keeps examples by a score and whose scoring runs and
random run are published: the same config and seed, with as many examples drawn at random. It grows as runs are published.
"""

import json
from collections import Counter

import numpy as np
import pandas as pd

from datadiet import runs
from datadiet.chapters.arms import class_skew, without_seed
from datadiet.chapters.parts import interval
from datadiet.chapters.settings import measure
from datadiet.prune import keep
from datadiet.runs import store
from datadiet.runs.recorded import values_from

FAMILIES = {
    "cifar10n": "cifar10",
    "sst2_sentences": "sst2",
    "mnli_subset": "mnli",
    "snli_subset": "snli",
    "ag_news_subset": "ag_news",
    "trec": "trec6",
}  # sets made of the same examples, by the name of one
SET = ("task", "validation", "size", "draw", "noise", "test_only")
# The settings that tell the arms of this table apart, each with the name that its column has here.
TOLD_APART = {
    "task": "task",
    "size": "size",
    "noise": "noise",
    "encoder": "encoder",
    "layers": "layers",
    "epochs": "epochs",
    "budget": "budget",
}
CHOSEN = {
    "rule": "rule",
    "fraction": "kept share",
    "offset": "skipped",
    "balanced": "of each class",
    "score": "score",
    "at": "at",
}


def family(task: str) -> str:
    """The set that a task is made of: tasks of one family are left out together when a model is judged on tasks it has not seen.

    >>> family("hub:sst2"), family("sst2_sentences"), family("cifar10n:worst_label"), family("trec6")
    ('sst2', 'sst2', 'cifar10', 'trec6')
    """
    bare = task.removeprefix("hub:").split(":")[0]
    return FAMILIES.get(bare, bare)


class _Recorded:
    """Arrays of scoring runs, and numbers from them, each read once: thousands of pruned runs share a few hundred."""

    def __init__(self, origin: str):
        self.origin, self.seen = origin, {}

    def _once(self, k: str, name, read):
        if (k, name) not in self.seen:
            self.seen[k, name] = read(store.arrays(k, self.origin))
        return self.seen[k, name]

    def labels(self, k: str) -> np.ndarray:
        return self._once(k, "labels", lambda arrays: arrays["labels"])

    def classes(self, k: str) -> int:
        return self._once(k, "classes", lambda arrays: arrays["logits"].shape[2])

    def said(self, k: str, t: int) -> np.ndarray:
        """Class [N] that the run gives the largest logit at its t-th scoring point."""
        return self._once(k, t, lambda arrays: arrays["logits"][t].argmax(1))

    def values(self, k: str, score: str, t: int) -> np.ndarray:
        return self._once(k, (score, t), lambda arrays: values_from(arrays, score, t))


def _first_end(source: dict) -> str | None:
    """The earliest end of an epoch among the scoring points of a run; None where it has none, as where it never trained."""
    ends = [int(at[:-2]) for at in source["score_at"] if isinstance(at, str)]
    return f"{min(ends)}ep" if ends else None


def _knowing(whole: dict[str, dict], asked: dict[str, dict]) -> dict[tuple, tuple[dict, dict]]:
    """For each set and encoder, a source that recorded the end of an epoch, and seed -> key of its runs."""
    sources = {}
    for run in asked.values():
        source = run["keep"]["source"]
        if _first_end(source):
            sources.setdefault((*(run[name] for name in SET), source["encoder"]), source)
    full = [(k, run["seed"], without_seed(run)) for k, run in whole.items() if not run["keep"]]
    return {one: (source, {seed: k for k, seed, other in full if other == source}) for one, source in sources.items()}


def by_run(rows: dict | None = None, origin: str = "published") -> pd.DataFrame:
    """Every pruned run that has a random run beside it, a row each; ``attrs["left out"]`` counts the others by reason.

    ``wrong`` and ``all wrong``: share of the kept, and of all, training examples whose label is not what a scoring run says, mean
    over the scoring runs that chose them, at the first end of an epoch that they recorded. Runs scored earlier are asked at that
    end as well: what was learned by then is the question, not what the score saw. Where a source never trained, other runs on the
    same set, of the same encoder and other seeds, are asked. ``skew``: :func:`datadiet.chapters.arms.class_skew`. ``full``: mean
    test accuracy of the runs asked. ``kept table`` and ``whole table``: counts [K, K] of the kept, and of all, examples: asked
    runs say the row's class, the label is the column's; mean over the runs asked.

    Parameters
    ----------
    rows : dict, optional
        Key -> {config, metrics, provenance}, as :func:`datadiet.runs.store.published` gives them: the default is all of them.
    origin : str
        Where the arrays of these runs are, as in :func:`datadiet.runs.store.arrays`.
    """
    rows = store.published() if rows is None else rows
    whole = {k: runs.config(**row["config"]) for k, row in rows.items()}
    asked = {k: run for k, run in whole.items() if run["keep"] and run["keep"]["rule"] != "random"}
    knowing, recorded, out, left = _knowing(whole, asked), _Recorded(origin), [], Counter()
    for k, run in asked.items():
        twin = runs.key(run | {"keep": {"rule": "random", "fraction": run["keep"]["fraction"]}})
        sources = [runs.key(source) for source in runs.scoring_runs(run)]
        why = "no random run" if twin not in rows else "scoring runs not published" if set(sources) - set(rows) else None
        source, judges = run["keep"]["source"], sources
        if why is None and not _first_end(source):
            source, others = knowing.get((*(run[name] for name in SET), run["encoder"]), (None, {}))
            judges = [other for seed, other in sorted(others.items()) if seed != run["seed"]]
            why = None if judges else "no run that learned the set"
        if why:
            left[why] += 1
            continue
        said = rows[k]["provenance"]
        out.append(
            _identity(run)
            | {"label names": said["label_names"], "hardware": said["hardware"]}
            | _outcome(run, rows[k]["metrics"], rows[twin]["metrics"])
            | _examples(run, sources, judges, source["score_at"].index(_first_end(source)), recorded)
            | {"full": np.mean([rows[judge]["metrics"][f"test_{measure(run['task'])}"] for judge in judges])}
        )
    table = pd.DataFrame(out)
    if len(table):  # where each seed has a draw of its own, earlier runs of all seeds on one draw are left out
        fresh = table.groupby("arm")["draw"].transform("max") > 0
        earlier = fresh & (table["draw"] != table["seed"])
        left |= {"other seeds' draws": int(earlier.sum())} if earlier.any() else {}
        table = table[~earlier].reset_index(drop=True)
    table.attrs["left out"] = dict(left)
    return table


def _identity(run: dict) -> dict:
    """The settings that name an arm, and ``arm``, equal in runs that differ in seed and draw alone."""
    chosen = run["keep"] | {"seeds": len(run["keep"]["seeds"])}
    chosen |= {"source": chosen["source"] | {"draw": None}}
    said = {"arm": json.dumps(run | {"seed": None, "draw": None, "keep": chosen}, sort_keys=True), "family": family(run["task"])}
    said |= {column: run[name] for name, column in TOLD_APART.items()}
    said |= {column: run["keep"][name] for name, column in CHOSEN.items()}
    own = run["keep"]["source"]["encoder"] == run["encoder"]
    return said | {
        "scored by": f"{chosen['seeds']} {'' if own else 'other '}run{'s' * (chosen['seeds'] > 1)}",
        "seed": run["seed"],
        "draw": run["draw"],
    }


def _outcome(run: dict, mine: dict, random: dict) -> dict:
    """The number that the task is judged by, of the run and of its random run; ``blind`` where both always name one class."""
    name = f"test_{measure(run['task'])}"
    blind = mine.get("test_matthews") == 0 and random.get("test_matthews") == 0
    return {"accuracy": mine[name], "random": random[name], "blind": blind}


def _examples(run: dict, sources: list[str], judges: list[str], t: int, recorded: _Recorded) -> dict:
    """Shares and tables of the kept examples, from the arrays of the scoring runs."""
    chosen, labels = run["keep"], recorded.labels(sources[0])
    at = chosen["source"]["score_at"].index(chosen["at"])
    values = np.mean([recorded.values(source, chosen["score"], at) for source in sources], axis=0)
    groups = labels if chosen["balanced"] else None
    kept = keep(values, chosen["fraction"], chosen["rule"], offset=chosen["offset"], labels=groups, seed=run["seed"])
    classes, tables = recorded.classes(judges[0]), {}
    for name, some in (("kept table", kept), ("whole table", slice(None))):
        cells = np.concatenate([recorded.said(judge, t)[some] * classes + labels[some] for judge in judges])
        tables[name] = np.bincount(cells, minlength=classes**2).reshape(classes, classes) / len(judges)
    wrong = {
        name: 1 - np.trace(tables[f"{table} table"]) / tables[f"{table} table"].sum()
        for name, table in (("wrong", "kept"), ("all wrong", "whole"))
    }
    return {"examples": len(labels), "classes": classes, "skew": class_skew(labels, kept), **wrong, **tables}


def arms(table: pd.DataFrame) -> pd.DataFrame:
    """The runs of :func:`by_run` as arms, a row each: means over seeds, and the gain over random, paired, with its 95 % interval.

    ``blind``: no run of either side says anything, each naming one class always: Matthews' correlation is 0 in all, or, where it
    was not recorded, every accuracy of both sides is the same number.
    ``low`` and ``high`` are NaN where one seed alone is stored. ``above``: the full data's accuracy above chance, which is one in
    the number of classes, and 0 of Matthews' correlation. ``least`` and ``most``: interval of the accuracy.
    """
    names = ["arm", "family", *TOLD_APART.values(), *CHOSEN.values(), "scored by", "classes", "examples", "label names"]
    out = []
    for _, mine in table.groupby("arm", sort=False):
        gains, first = mine["accuracy"] - mine["random"], mine.iloc[0]
        ends = interval(gains)[1:] if len(mine) > 1 else (np.nan, np.nan)
        reach = interval(mine["accuracy"])[1:] if len(mine) > 1 else (np.nan, np.nan)
        means = {name: mine[name].mean() for name in ("accuracy", "random", "full", "skew", "wrong", "all wrong")}
        counts = {name: np.mean(list(mine[name]), axis=0) for name in ("kept table", "whole table")}
        chance = 0.0 if measure(first["task"]) == "matthews" else 1 / first["classes"]
        out.append(
            {name: first[name] for name in names}
            | {"seeds": len(mine), "blind": _says_nothing(mine)}
            | means
            | {
                "gain": gains.mean(),
                "low": ends[0],
                "high": ends[1],
                "least": reach[0],
                "most": reach[1],
                "chance": chance,
                "above": means["full"] - chance,
            }
            | counts
        )
    return pd.DataFrame(out)


def _says_nothing(mine: pd.DataFrame) -> bool:
    return bool(mine["blind"].all() or (len(mine) > 1 and np.ptp(mine[["accuracy", "random"]].to_numpy()) == 0))
