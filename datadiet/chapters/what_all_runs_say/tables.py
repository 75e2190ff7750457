"""Tables of the chapter "What all runs say together": numbers of the arms, and the name of an arm."""

import numpy as np
import pandas as pd

from datadiet.chapters.what_all_runs_say.runs import CHOSEN, TOLD_APART


def counted(arms: pd.DataFrame) -> pd.DataFrame:
    """How many arms lose to random, by whether most of the kept are misclassified and whether classes are skewed; four rows.

    ``lose`` and ``gain``: by the mean; ``surely``: the whole interval lies on that side.
    """
    rows = []
    for most in (True, False):
        for skewed in (True, False):
            mine = arms[((arms["wrong"] > 0.5) == most) & ((arms["skew"] > 0.1) == skewed)]
            rows.append(
                {
                    "kept misclassified": "more than half" if most else "half or less",
                    "class skew": "above 0.1" if skewed else "0.1 or less",
                    "arms": len(mine),
                    "lose": int((mine["gain"] < 0).sum()),
                    "surely lose": int((mine["high"] < 0).sum()),
                    "surely gain": int((mine["low"] > 0).sum()),
                    "mean gain": mine["gain"].mean(),
                }
            )
    return pd.DataFrame(rows)


def beside(arms: pd.DataFrame, arm: pd.Series, **changes) -> pd.Series | None:
    """The arm that is called as another but for `changes` of its columns; None where there is none."""
    wanted = {name: arm[name] for name in (*TOLD_APART.values(), *CHOSEN.values(), "scored by")} | changes
    found = arms
    for name, value in wanted.items():
        found = found[found[name].isna() if pd.isna(value) else found[name] == value]
    return None if found.empty else found.iloc[0]


def below_chance(arms: pd.DataFrame) -> pd.DataFrame:
    """Arms of the hardest that end surely below chance, furthest below first, beside random and easiest ones.

    Arms that keep more than 0.4 misclassified: one that keeps none can end there by naming one class always.
    """
    mine = arms[(arms["rule"] == "hardest") & (arms["most"] < arms["chance"]) & (arms["wrong"] > 0.4)]
    rows = []
    for arm in (arm for _, arm in mine.iterrows()):
        same = beside(arms, arm, rule="easiest", **{"of each class": False})
        rows.append(
            called(arm)
            | {
                "accuracy": arm["accuracy"],
                "at most": arm["most"],
                "chance": arm["chance"],
                "random": arm["random"],
                "easiest": np.nan if same is None else same["accuracy"],
                "kept misclassified": arm["wrong"],
                "all misclassified": arm["all wrong"],
                "class skew": arm["skew"],
                "below": arm["accuracy"] - arm["chance"],
            }
        )
    table = pd.DataFrame(rows)
    return table.sort_values("below", ignore_index=True).drop(columns="below") if rows else table


def hardest(arms: pd.DataFrame, of: str, fraction: float, at=None) -> pd.Series | pd.DataFrame:
    """Arms of one family that keep the hardest by EL2N of several runs, at equal epochs, none skipped, classes as they fall.

    `at` None: all of them; else the first scored at that point.
    """
    mine = arms[
        (arms["family"] == of)
        & (arms["rule"] == "hardest")
        & (arms["kept share"] == fraction)
        & (arms["skipped"] == 0)
        & ~arms["of each class"]
        & (arms["score"] == "el2n")
        & (arms["budget"] == "epochs")
        & (arms["scored by"] != "1 run")
        & (arms["noise"] == 0)
    ]
    return mine if at is None else mine[mine["at"] == at].iloc[0]


def by_scoring_point(arms: pd.DataFrame, of: str, fraction: float = 0.5) -> pd.DataFrame:
    """The arms of :func:`hardest` by their scoring point, earliest first: the kept examples, and the accuracy they led to."""
    mine = hardest(arms, of, fraction)
    order = [(isinstance(at, str), int(str(at).removesuffix("ep"))) for at in mine["at"]]
    mine = mine.iloc[sorted(range(len(order)), key=order.__getitem__)]
    names = {"at": "scored at", "wrong": "kept misclassified", "skew": "class skew"}
    columns = ["task", "at", "wrong", "skew", "accuracy", "random", "gain"]
    return mine[columns].rename(columns=names | {"task": "set"}).reset_index(drop=True)


def groups(arm: pd.Series) -> pd.DataFrame:
    """Labels of each group of an arm, in the whole set and among the kept examples, a row a group.

    A group is what the scoring runs say is of one class. ``right of all`` and ``right of kept``: share of the group whose label
    says so too; ``kept say``: its most common label among the kept.
    """
    names = arm["label names"] or [str(place) for place in range(arm["classes"])]
    kept, whole = (arm[table] / np.maximum(arm[table].sum(1, keepdims=True), 1e-9) for table in ("kept table", "whole table"))
    return pd.DataFrame(
        [
            {
                "scoring runs say": names[p],
                "right of all": whole[p, p],
                "right of kept": kept[p, p],
                "kept say": names[int(kept[p].argmax())],
                "of kept, say so": kept[p].max(),
            }
            for p in range(len(names))
        ]
    )


def called(arm: pd.Series) -> dict:
    """The settings that distinguish an arm, in few words."""
    extra = [f"skip {arm['skipped']:.0%}" if arm["skipped"] else "", "of each class" if arm["of each class"] else ""]
    how = [
        arm["budget"] if arm["budget"] != "epochs" else "",
        "one run" if arm["scored by"] == "1 run" else "",
        "other net" if "other" in arm["scored by"] else "",
    ]
    noise = f", {arm['noise']:.0%} flipped" if arm["noise"] else ""
    net = f"{arm['encoder']}{'' if pd.isna(arm['layers']) else f', {arm.layers:.0f} of its layers'}, {arm['epochs']} epochs"
    return {
        "set": f"{arm['task']}{noise}",
        "examples": arm["examples"],
        "net": net,
        "rule": " ".join(filter(None, [arm["rule"], *extra])),
        "kept": f"{arm['kept share']:.0%}",
        "score": f"{arm['score']} at {arm['at']}" + "".join(f", {each}" for each in how if each),
    }


def listed(arms: pd.DataFrame) -> pd.DataFrame:
    """Every arm with its numbers, as the reader sees it, by set and then by gain."""
    rows = [
        called(arm)
        | {
            "accuracy": arm["accuracy"],
            "random": arm["random"],
            "gain": arm["gain"],
            "low": arm["low"],
            "high": arm["high"],
            "kept misclassified": arm["wrong"],
            "all misclassified": arm["all wrong"],
            "class skew": arm["skew"],
            "seeds": arm["seeds"],
        }
        for _, arm in arms.sort_values(["family", "gain"]).iterrows()
    ]
    return pd.DataFrame(rows)


def outcomes(arms: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """How arms fared against random, a row for each combination of the columns `by`, that with the most arms first.

    ``kept`` may be among them: the kept share in words. ``surely``: the whole interval lies on that side.
    """
    words = pd.cut(arms["kept share"], [0, 0.35, 0.65, 1], labels=["up to 35 %", "36 to 65 %", "more than 65 %"]).astype(str)
    table = arms.assign(kept=words, loses=arms["high"] < 0, gains=arms["low"] > 0).groupby(by, sort=True)
    found = table.agg(**{"arms": ("gain", "size"), "sets": ("family", "nunique"), "surely lose": ("loses", "sum"),
                         "surely gain": ("gains", "sum"), "mean gain": ("gain", "mean"), "worst": ("gain", "min")})
    return found.reset_index().sort_values("arms", ascending=False, kind="stable")
