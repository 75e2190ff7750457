"""Goals for the speed of one GPU, each with its verdict by the rounds of ``python -m benchmarks gpu``.

    verdicts(rounds())          # a row a goal: what is asked, what was measured, met or missed, the card's name

A goal stands in the table ``GOALS`` and nowhere else: the benchmark prints it with its verdict, and so does the page. No number
that a GPU gave stands in the code: it is read from ``results/benchmarks/gpu.parquet``, where there is one.
"""

from dataclasses import dataclass, replace

import pandas as pd

from datadiet import paths
from datadiet.chapters import pages
from datadiet.chapters.what_it_costs.runs import OURS, PLAIN, benchmark

TRAINING = "training, MiniLM, batch 32, at most 64 tokens, one process"
FIRST = "the first 100 updates of a process"
SWEEP = "a sweep of many seeds and subsets, all processes together"
IMAGES = "training, ResNet-18, 32 x 32, batch 128"
NORMS = tuple(f"gradient norms, {batch}" for batch in (
    "MiniLM, 32 x 48", "BERT-base with random weights, 32 x 128", "ResNet-18, batch 128", "ResNet-18, batch 256"))  # fmt: skip
TRAINER, EL2N, LOW = "HF Trainer", "EL2N of the whole set", ", bfloat16"
NOT_MEASURED, NOT_A_GPU = "not measured", "not a GPU"
COLUMNS = ["case", "peer", "round", "seconds", "updates", "examples", "error", "peak_mib", "failed", "not_captured", "card"]
RATES = {"updates": "updates a second", "examples": "examples a second"}


@dataclass(frozen=True)
class Goal:
    """A bound on a contestant in a case: on a rate (``quantity`` "updates" or "examples"), on "seconds" or "error".

    ``over``: the peer whose quantity, in the same round, it is divided by. ``bound`` None: the number is stated, and no goal set.
    """

    case: str
    quantity: str
    bound: float | None
    at_least: bool = False
    peer: str = OURS
    over: str | None = None

    @property
    def reading(self) -> str:
        """The number in words."""
        words = "largest relative error" if self.quantity == "error" else RATES.get(self.quantity, self.quantity)
        if self.peer != OURS:
            words += " in bfloat16" if self.peer == OURS + LOW else f" of {self.peer}"
        return words if self.over is None else f"{words}, over {'training' if self.over == OURS else self.over.removesuffix(LOW)}"

    @property
    def asked(self) -> str:
        """The bound in words."""
        return "no goal" if self.bound is None else f"{'at least' if self.at_least else 'at most'} {self.bound:,g}"

    def of(self, table: pd.DataFrame) -> pd.Series:
        """The number in every round that was measured; empty where there is none."""
        rows = table[(table["case"] == self.case) & (table["peer"] == self.peer) & (table["round"] >= 0)].set_index("round")
        values = rows[self.quantity] / rows["seconds"] if self.quantity in RATES else rows[self.quantity]
        if self.over is not None:
            values = values / replace(self, peer=self.over, over=None).of(table)
        return values.dropna().astype(float)

    def met(self, measured: float) -> bool:
        """Whether `measured` keeps the bound; it may lie on it."""
        return measured >= self.bound if self.at_least else measured <= self.bound


GOALS = (
    Goal(TRAINING, "updates", 240, at_least=True),
    Goal(TRAINING, "updates", 5, at_least=True, over=TRAINER),
    Goal(FIRST, "seconds", 3),
    Goal(SWEEP, "updates", 1500, at_least=True),
    Goal(IMAGES, "examples", 60_000, at_least=True),
    *(Goal(case, "seconds", 1.0, over=PLAIN) for case in NORMS),
    *(Goal(case, "seconds", 1.0, peer=OURS + LOW, over=PLAIN + LOW) for case in NORMS),
    *(Goal(case, "error", 1e-5) for case in NORMS),
    *(Goal(case, "error", None, peer=OURS + LOW) for case in NORMS),
    Goal(TRAINING, "examples", 10, at_least=True, peer=EL2N, over=OURS),
)


def rounds() -> pd.DataFrame:
    """The published rounds of a GPU; without rows where none has been measured yet."""
    file = paths.root() / "results" / "benchmarks" / "gpu.parquet"
    return benchmark("gpu") if file.is_file() else pd.DataFrame(columns=COLUMNS)


def verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """A row a goal: case, reading, goal, measured (median of the rounds, of errors the largest), least, greatest, verdict, card.

    The verdict is "met", "missed", "no goal", "not measured", or why the contestant or its peer could not. Rounds that no GPU
    made have no verdict: "not a GPU".
    """
    out, table = [], _whole(table)
    for goal in GOALS:
        values, failed = goal.of(table), _failure(goal, table)
        measured = values.max() if goal.quantity == "error" else values.median()
        mine = table[table["case"] == goal.case]
        card = mine["card"].iloc[0] if len(mine) else None
        if not len(values):
            verdict = NOT_MEASURED if failed is None else f"cannot: {failed}"
        elif card == NOT_A_GPU:
            verdict = NOT_A_GPU
        else:
            verdict = "no goal" if goal.bound is None else "met" if goal.met(measured) else "missed"
        out.append({"case": goal.case, "reading": goal.reading, "goal": goal.asked, "measured": measured, "least": values.min(),
                    "greatest": values.max(), "verdict": verdict, "card": card})
    return pd.DataFrame(out)


def _whole(table: pd.DataFrame) -> pd.DataFrame:
    """The table with all columns that are read; those that no contestant has filled are empty."""
    return table.reindex(columns=COLUMNS)


def _failure(goal: Goal, table: pd.DataFrame) -> str | None:
    """Why the contestant of a goal, or its peer, has no rounds."""
    some = table[(table["case"] == goal.case) & table["peer"].isin([goal.peer, goal.over])]
    return next(iter(some["failed"].dropna()), None)


def page(table: pd.DataFrame) -> pages.Page:
    """The goals with their verdicts, as a table to be read."""
    rows = []
    for row in verdicts(table).to_dict("records"):
        measured = NOT_MEASURED if pd.isna(row["measured"]) else (
            f"{_short(row['measured'])} [{_short(row['least'])}, {_short(row['greatest'])}]")
        card = pages.DASH if pd.isna(row["card"]) else row["card"]
        rows.append([row["case"], row["reading"], row["goal"], measured, row["verdict"], card])
    head = ["what", "number", "goal", "measured [least, greatest]", "verdict", "on"]
    return pages.Page(pages.table(rows, head, "Goals for one GPU"), "\n".join(" | ".join(row) for row in rows))


def peers(table: pd.DataFrame) -> pd.DataFrame:
    """Medians of each contestant in each case: seconds, updates and examples a second; the most memory; why it could not."""
    out, table = [], _whole(table)
    for (case, peer), rows in table.groupby(["case", "peer"], sort=False):
        rates = {words: (rows[name] / rows["seconds"]).median() for name, words in RATES.items()}
        reasons = [f"{words}: {why}" for name, words in (("failed", "cannot"), ("not_captured", "not captured"))
                   for why in rows[name].dropna().unique()]  # fmt: skip
        out.append({"what": case, "by": peer, "seconds": rows["seconds"].median(), **rates, "MiB more": rows["peak_mib"].max(),
                    "remark": "; ".join(reasons) or None})
    return pd.DataFrame(out, columns=["what", "by", "seconds", *RATES.values(), "MiB more", "remark"])


def _short(value: float) -> str:
    return f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
