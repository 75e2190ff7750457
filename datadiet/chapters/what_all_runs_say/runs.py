"""What all runs say together: every published pruned run beside its random twin, and how much of its kept examples is wrong.

The chapter asks for no runs of its own. It reads each published run that keeps examples by a score and whose scoring runs and
random twin are published: the same config and seed, with as many examples drawn at random. It grows as runs are published.
"""

import json
from collections import Counter

import numpy as np
import pandas as pd

from datadiet import runs
from datadiet.chapters.arms import class_skew
from datadiet.chapters.parts import interval
from datadiet.chapters.settings import measure
from datadiet.prune import keep
from datadiet.runs import store
from datadiet.runs.recorded import values_from

FAMILIES = {"cifar10n": "cifar10", "sst2_sentences": "sst2", "mnli_subset": "mnli", "snli_subset": "snli",
            "ag_news_subset": "ag_news", "trec": "trec6"}  # sets made of the same examples, by the name of one  # fmt: skip
SET = ("task", "validation", "size", "noise", "test_only")
# The settings that tell the arms of this table apart, each with the name that its column has here.
TOLD_APART = {"task": "task", "size": "size", "noise": "noise", "encoder": "encoder", "layers": "layers", "epochs": "epochs",
              "budget": "budget"}  # fmt: skip
CHOSEN = {"rule": "rule", "fraction": "kept share", "offset": "skipped", "balanced": "of each class", "score": "score", "at": "at"}


def family(task: str) -> str:
    """The set that a task is made of: tasks of one family are left out together when a model is judged on tasks it has not seen.

    >>> family("hub:sst2"), family("sst2_sentences"), family("cifar10n:worst_label"), family("trec6")
    ('sst2', 'sst2', 'cifar10', 'trec6')
    """
    bare = task.removeprefix("hub:").split(":")[0]
    return FAMILIES.get(bare, bare)


class _Recorded:
    """Arrays of scoring runs, and what is read off them, each read once: thousands of pruned runs lean on a few hundred."""

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


def _knowing(asked: dict[str, dict]) -> dict[tuple, dict]:
    """For each set and encoder, the config without its seed of a source that recorded the end of an epoch."""
    found = {}
    for run in asked.values():
        source = run["keep"]["source"]
        if _first_end(source):
            found.setdefault((*(run[name] for name in SET), source["encoder"]), source)
    return found


def by_run(rows: dict | None = None, origin: str = "published") -> pd.DataFrame:
    """Every pruned run that has a random twin, a row each; ``attrs["left out"]`` counts the others by reason.

    ``wrong`` and ``all wrong``: share of the kept, and of all, training examples whose label is not what a scoring run says, mean
    over the scoring runs that chose them, at the first end of an epoch that they recorded. Runs scored earlier are asked at that
    end as well: what was learned by then is the question, not what the score saw. Where a source never trained, other runs on the
    same set, of the same encoder and other seeds, are asked. ``skew``: :func:`datadiet.chapters.arms.class_skew`. ``full``: mean
    test accuracy of the runs asked. ``kept table`` and ``whole table``: counts [K, K] of the kept, and of all, examples: asked
    runs say the row's class, the label is the column's; mean over the runs asked.

    Parameters
    ----------
    rows : dict, optional
        Key -> {config, metrics}, as :func:`datadiet.runs.store.published` gives them: the default is all of them.
    origin : str
        Where the arrays of these runs are, as in :func:`datadiet.runs.store.arrays`.
    """
    rows = store.published() if rows is None else rows
    whole = {k: runs.config(**row["config"]) for k, row in rows.items()}
    asked = {k: run for k, run in whole.items() if run["keep"] and run["keep"]["rule"] != "random"}
    knowing, recorded, out, left = _knowing(asked), _Recorded(origin), [], Counter()
    for k, run in asked.items():
        twin = runs.key(run | {"keep": {"rule": "random", "fraction": run["keep"]["fraction"]}})
        sources = [runs.key(source) for source in runs.scoring_runs(run)]
        why = "no random twin" if twin not in rows else "scoring runs not published" if set(sources) - set(rows) else None
        source, judges = run["keep"]["source"], sources
        if why is None and not _first_end(source):
            source = knowing.get((*(run[name] for name in SET), run["encoder"]))
            others = [] if source is None else [runs.key(source | {"seed": seed}) for seed in range(run["seed"] + 10)
                                                if seed != run["seed"]]  # fmt: skip
            judges = [other for other in others if other in rows]
            why = None if judges else "no run that learned the set"
        if why:
            left[why] += 1
            continue
        classes = {"label names": (rows[k].get("provenance") or {}).get("label_names")}
        out.append(_identity(run) | classes | _outcome(run, rows[k]["metrics"], rows[twin]["metrics"])
                   | _examples(run, sources, judges, source["score_at"].index(_first_end(source)), recorded)
                   | {"full": np.mean([rows[judge]["metrics"][f"test_{measure(run['task'])}"] for judge in judges])})
    table = pd.DataFrame(out)
    table.attrs["left out"] = dict(left)
    return table


def _identity(run: dict) -> dict:
    """What an arm is called by, and ``arm``, equal in runs that differ in their seed alone."""
    chosen = run["keep"] | {"seeds": len(run["keep"]["seeds"])}
    said = {"arm": json.dumps(run | {"seed": None, "keep": chosen}, sort_keys=True), "family": family(run["task"])}
    said |= {column: run[name] for name, column in TOLD_APART.items()}
    said |= {column: run["keep"][name] for name, column in CHOSEN.items()}
    own = run["keep"]["source"]["encoder"] == run["encoder"]
    return said | {"scored by": f"{chosen['seeds']} {'' if own else 'other '}run{'s' * (chosen['seeds'] > 1)}", "seed": run["seed"]}


def _outcome(run: dict, mine: dict, random: dict) -> dict:
    """The number that the task is judged by, of the run and of its twin; ``blind`` where both always name one class."""
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
    wrong = {name: 1 - np.trace(tables[f"{table} table"]) / tables[f"{table} table"].sum()
             for name, table in (("wrong", "kept"), ("all wrong", "whole"))}  # fmt: skip
    return {"examples": len(labels), "classes": classes, "skew": class_skew(labels, kept), **wrong, **tables}


def arms(table: pd.DataFrame) -> pd.DataFrame:
    """The runs of :func:`by_run` as arms, a row each: means over seeds, and the gain over random, paired, with its 95 % interval.

    ``low`` and ``high`` are NaN where one seed alone is stored. ``above``: the full data's accuracy above chance, one in the number
    of classes; nothing is taken off Matthews' correlation, of which chance is 0. ``least`` and ``most``: interval of the accuracy.
    """
    names = ["family", *TOLD_APART.values(), *CHOSEN.values(), "scored by", "classes", "examples", "label names"]
    out = []
    for _, mine in table.groupby("arm", sort=False):
        gains, first = mine["accuracy"] - mine["random"], mine.iloc[0]
        ends = interval(gains)[1:] if len(mine) > 1 else (np.nan, np.nan)
        reach = interval(mine["accuracy"])[1:] if len(mine) > 1 else (np.nan, np.nan)
        means = {name: mine[name].mean() for name in ("accuracy", "random", "full", "skew", "wrong", "all wrong")}
        counts = {name: np.mean(list(mine[name]), axis=0) for name in ("kept table", "whole table")}
        chance = 0.0 if measure(first["task"]) == "matthews" else 1 / first["classes"]
        out.append({name: first[name] for name in names} | {"seeds": len(mine), "blind": bool(mine["blind"].all())} | means
                   | {"gain": gains.mean(), "low": ends[0], "high": ends[1], "least": reach[0], "most": reach[1], "chance": chance,
                      "above": means["full"] - chance} | counts)
    return pd.DataFrame(out)


def counted(arms: pd.DataFrame) -> pd.DataFrame:
    """How many arms lose to random, by whether most of the kept are misclassified and whether classes are skewed; four rows.

    ``lose`` and ``gain``: by the mean; ``surely``: the whole interval lies on that side.
    """
    rows = []
    for most in (True, False):
        for skewed in (True, False):
            mine = arms[((arms["wrong"] > 0.5) == most) & ((arms["skew"] > 0.1) == skewed)]
            rows.append({"kept misclassified": "more than half" if most else "half or less",
                         "class skew": "above 0.1" if skewed else "0.1 or less", "arms": len(mine), "lose": int((mine["gain"] < 0).sum()),
                         "surely lose": int((mine["high"] < 0).sum()), "surely gain": int((mine["low"] > 0).sum()),
                         "mean gain": mine["gain"].mean()})  # fmt: skip
    return pd.DataFrame(rows)


def beside(arms: pd.DataFrame, arm: pd.Series, **changes) -> pd.Series | None:
    """The arm that is called as another but for `changes` of its columns; None where there is none."""
    wanted = {name: arm[name] for name in (*TOLD_APART.values(), *CHOSEN.values(), "scored by")} | changes
    found = arms
    for name, value in wanted.items():
        found = found[found[name].isna() if pd.isna(value) else found[name] == value]
    return None if found.empty else found.iloc[0]


def below_chance(arms: pd.DataFrame) -> pd.DataFrame:
    """Arms that keep the hardest by rank and end surely below chance, furthest below first, beside their random and easiest twins.

    Arms that keep more than 0.4 misclassified: an arm that keeps none can end there by naming one class always.
    """
    mine = arms[(arms["rule"] == "hardest") & (arms["most"] < arms["chance"]) & (arms["wrong"] > 0.4)]
    rows = []
    for arm in (arm for _, arm in mine.iterrows()):
        twin = beside(arms, arm, rule="easiest", **{"of each class": False})
        rows.append(called(arm) | {"accuracy": arm["accuracy"], "at most": arm["most"], "chance": arm["chance"],
                                   "random": arm["random"], "easiest": np.nan if twin is None else twin["accuracy"],
                                   "kept misclassified": arm["wrong"], "all misclassified": arm["all wrong"], "class skew": arm["skew"],
                                   "below": arm["accuracy"] - arm["chance"]})  # fmt: skip
    table = pd.DataFrame(rows)
    return table.sort_values("below", ignore_index=True).drop(columns="below") if rows else table


def by_scoring_point(arms: pd.DataFrame, of: str, fraction: float = 0.5) -> pd.DataFrame:
    """The hardest of one family by the scoring point of EL2N, earliest first: what was kept and what it taught."""
    mine = arms[(arms["family"] == of) & (arms["rule"] == "hardest") & (arms["kept share"] == fraction) & (arms["skipped"] == 0)
                & ~arms["of each class"] & (arms["score"] == "el2n") & (arms["budget"] == "epochs")]  # fmt: skip
    table = pd.DataFrame([{"set": arm["task"], "scored at": arm["at"], "kept misclassified": arm["wrong"],
                           "class skew": arm["skew"], "accuracy": arm["accuracy"], "random": arm["random"], "gain": arm["gain"]}
                          for _, arm in mine.iterrows()])  # fmt: skip
    order = [(isinstance(at, str), int(str(at).removesuffix("ep"))) for at in mine["at"]]
    return table.iloc[sorted(range(len(order)), key=order.__getitem__)].reset_index(drop=True)


def groups(arms: pd.DataFrame, of: str, fraction: float = 0.5) -> pd.DataFrame:
    """What the hardest of one family teach of each group, a row a group: its labels in the whole set and among the kept.

    A group is what the scoring runs say is of one class. ``right of all`` and ``right of kept``: share of the group whose label
    says so too; ``kept say``: its most common label among the kept.
    """
    first = arms[(arms["family"] == of) & (arms["rule"] == "hardest") & (arms["kept share"] == fraction) & (arms["skipped"] == 0)
                 & ~arms["of each class"] & (arms["score"] == "el2n") & (arms["at"] == "1ep") & (arms["budget"] == "epochs")]  # fmt: skip
    rows = []
    for _, arm in first.iterrows():
        names = arm["label names"] or [str(place) for place in range(arm["classes"])]
        kept, whole = (arm[table] / np.maximum(arm[table].sum(1, keepdims=True), 1e-9) for table in ("kept table", "whole table"))
        rows += [{"set": arm["task"], "scoring runs say": names[p], "right of all": whole[p, p], "right of kept": kept[p, p],
                  "kept say": names[int(kept[p].argmax())], "of kept, say so": kept[p].max()} for p in range(len(names))]  # fmt: skip
    return pd.DataFrame(rows)


def called(arm: pd.Series) -> dict:
    """What tells an arm from others, in few words."""
    extra = [f"skip {arm['skipped']:.0%}" if arm["skipped"] else "", "of each class" if arm["of each class"] else ""]
    how = [arm["budget"] if arm["budget"] != "epochs" else "", "one run" if arm["scored by"] == "1 run" else "",
           "other net" if "other" in arm["scored by"] else ""]  # fmt: skip
    noise = f", {arm['noise']:.0%} flipped" if arm["noise"] else ""
    net = f"{arm['encoder']}{'' if pd.isna(arm['layers']) else f', {arm.layers:.0f} layers'}, {arm['epochs']} epochs"
    return {"set": f"{arm['task']}{noise}", "examples": arm["examples"], "net": net,
            "rule": " ".join(filter(None, [arm["rule"], *extra])), "kept": f"{arm['kept share']:.0%}",
            "score": f"{arm['score']} at {arm['at']}" + "".join(f", {each}" for each in how if each)}  # fmt: skip


def listed(arms: pd.DataFrame) -> pd.DataFrame:
    """Every arm with its numbers, as the reader sees it, by set and then by gain."""
    rows = [called(arm) | {"accuracy": arm["accuracy"], "random": arm["random"], "gain": arm["gain"], "low": arm["low"],
                           "high": arm["high"], "kept misclassified": arm["wrong"], "all misclassified": arm["all wrong"],
                           "class skew": arm["skew"], "seeds": arm["seeds"]}
            for _, arm in arms.sort_values(["family", "gain"]).iterrows()]  # fmt: skip
    return pd.DataFrame(rows)
