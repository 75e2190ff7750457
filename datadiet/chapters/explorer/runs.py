"""The sets of the explorer, as its page holds them: scores, labels and runs of the published results, texts where they are.

The page trains nothing and asks for no runs. Of each score it holds the exact rank of every example, and its value to one part in
a thousand of the range: as fine as a map shows, and small enough for one file. Texts are read from the set itself, where it is
here and its checksum is that of the published runs; nothing of them is kept in the repository.
"""

import base64
import gzip
import json
from functools import cache

import numpy as np
import pandas as pd

from datadiet import chapters, runs, scores
from datadiet.chapters.parts import interval
from datadiet.chapters.settings import has, measure, profiles, settings_of
from datadiet.errors import InputError
from datadiet.runs import released, store
from datadiet.runs.recorded import probabilities, values_from

# File of scores, as the page "Data" lists it -> the name that the reader chooses.
SETS = {
    "scores-trec6-minilm-f98651.parquet": "TREC-6: questions",
    "scores-mnli_subset-minilm-936d3b.parquet": "MNLI: pairs of sentences",
    "scores-sst2_sentences-noise-0.1-minilm-mean-cf2444.parquet": "SST-2, one label in ten flipped",
    "scores-snli_subset-minilm-mean-4d47c3.parquet": "SNLI: pairs of sentences",
    "scores-docstrings-noise-0.2-minilm-mean-cb158b.parquet": "Docstrings, one label in five flipped",
    "scores-digits-convnet-ea3af6.parquet": "Digits: images",
}
NAMES = {"el2n": "EL2N", "grand": "GraNd", "margin": "margin", "entropy": "entropy", "forgetting": "forgetting", "aum": "AUM",
         "tracin": "TracIn", "vog": "VoG", "vog_class": "VoG within its class", "confidence": "confidence",
         "variability": "variability", "spread": "EL2N, spread over seeds"}  # fmt: skip
OVER_TIME = ("forgetting", "aum", "tracin", "vog", "vog_class")  # scores that look back from their point
FINE = 1000  # parts of a score's range: a value on the page is at most one of them off
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
MOST = len(DIGITS) ** 3  # examples whose ranks fit three digits
FEW = 2_000  # examples; of a larger set only those scores are held that pruned runs went by, and the data map
BUDGET = 300_000  # bytes of text of one set; of a larger one only the texts of its tables are held
SHOWN = 20  # rows of the tables of the hardest and of the easiest
BASE = ["task", "noise", "validation", "size", "draw", "test_only", "encoder", "layers", "max_length", "epochs", "batch_size",
        "learning_rate", "optimizer", "inputs", "quick", "shifts", "decay", "device"]  # fmt: skip
ARM = ["rule", "fraction", "offset", "balanced", "score", "at", "budget", "score_seeds"]


def moment(at) -> str:
    """A scoring point in words.

    >>> moment(0), moment(30), moment("1ep")
    ('before training', 'after 30 updates', 'end of epoch 1')
    """
    if isinstance(at, str) and at.endswith("ep"):
        return f"end of epoch {at.removesuffix('ep')}"
    return f"after {at} updates" if int(at) else "before training"


def in_digits(values: np.ndarray) -> str:
    """Whole numbers from 0 to below MOST as text: the highest of the three digits of all, then the middle, then the lowest.

    A plane of digits compresses better than a number after another does: the highest take few values.

    >>> in_digits(np.array([0, 65, 4096]))
    'AABABAABA'
    """
    return "".join(DIGITS[digit] for unit in (64**2, 64, 1) for digit in (np.asarray(values) // unit % 64).tolist())


def in_bytes(values: np.ndarray) -> str:
    """Whole numbers from 0 to 255 as base64."""
    return base64.b64encode(np.asarray(values).astype(np.uint8).tobytes()).decode()


def packed(one: dict) -> str:
    """A set as base64 of compressed JSON: the browser unpacks it when the reader chooses it. The same set gives the same text."""
    return base64.b64encode(gzip.compress(json.dumps(one, separators=(",", ":")).encode(), mtime=0)).decode()


def unpacked(text: str) -> dict:
    """The set that :func:`packed` made the text of."""
    return json.loads(gzip.decompress(base64.b64decode(text)))


def knots(falling: np.ndarray, tolerance: float) -> list[list[float]]:
    """Points [rank, value] whose straight lines stay within 1.005 `tolerance` of values that are sorted, highest first.

    >>> knots(np.array([9.0, 8.0, 7.0, 1.0, 1.0]), 0.1)
    [[0, 9.0], [2, 7.0], [3, 1.0], [4, 1.0]]
    """
    last, places = len(falling) - 1, [0]

    def straight(start: int, end: int) -> bool:
        line = np.linspace(falling[start], falling[end], end - start + 1)
        return bool(np.abs(line - falling[start : end + 1]).max() <= tolerance)

    while places[-1] < last:
        start, step = places[-1], 1
        while start + 2 * step <= last and straight(start, start + 2 * step):
            step *= 2
        good, bad = start + step, min(start + 2 * step, last + 1)
        while bad - good > 1:
            middle = (good + bad) // 2
            good, bad = (middle, bad) if straight(start, middle) else (good, middle)
        places.append(good)
    digits = max(0, int(np.ceil(-np.log10(tolerance / 100))))  # rounding adds a two-hundredth of the tolerance at most
    return [[place, round(float(falling[place]), digits)] for place in places]


def column(score: str, at, values: np.ndarray, ranked: bool) -> dict:
    """One score of a set as the page holds it: ranks from the highest, equals by position, as in :func:`datadiet.prune.keep`."""
    order = np.argsort(-values, kind="stable")
    ranks = np.empty(len(values), np.int64)
    ranks[order] = np.arange(len(values))
    when = moment(at) if at is not None else "over all scoring points"
    title = f"{NAMES[score]}, {'up to the ' if score in OVER_TIME else ''}{when}"
    tolerance = max(float(np.ptp(values)) / FINE * 0.99, 1e-12)  # the rest is for the rounding of the knots
    return {"score": score, "at": None if at is None else str(at), "title": title, "ranked": ranked,
            "ranks": in_digits(ranks), "knots": knots(values[order], tolerance)}  # fmt: skip


def published_columns(configs: list[dict], recorded: list[dict], ranked_by: list[tuple]) -> dict[tuple, tuple[np.ndarray, bool]]:
    """(score, scoring point) -> values [N], mean over the seeds, and whether they rank: EL2N at every point, others beside it.

    `ranked_by`: (score, point) of scores that pruned runs went by. ``confidence`` and ``variability``:
    :func:`datadiet.scores.datamap` over the scoring points of each run; where there is one point, in their place ``spread``, the
    standard deviation of EL2N over seeds.
    """
    points = configs[0]["score_at"]
    first = next(at for at in points if isinstance(at, str))

    def of(score, at):
        return np.array([values_from(arrays, score, points.index(at)) for arrays in recorded])

    others = [("margin", first), ("entropy", first)] if len(recorded[0]["labels"]) <= FEW else []
    wanted = dict.fromkeys([*(("el2n", at) for at in points), *ranked_by, *others])
    found = {(score, at): (of(score, at).mean(0), True) for score, at in wanted}
    if len(points) == 1:
        found[("spread", first)] = of("el2n", first).std(0, ddof=1), False
    else:
        maps = [scores.datamap(probabilities(arrays["logits"]), arrays["labels"]) for arrays in recorded]
        found[("confidence", None)] = np.mean([each.confidence for each in maps], axis=0), False
        found[("variability", None)] = np.mean([each.variability for each in maps], axis=0), False
    return found


@cache
def _chapter_of() -> dict[str, str]:
    """Key of a run -> the first chapter, in the order of the book, that asks for it in any profile."""
    found = {}
    for name in chapters.NAMES:
        for profile in profiles():
            if has(profile, name):
                for run in chapters.wanted(name, settings_of(profile, name)):
                    found.setdefault(runs.key(run), name)
    return found


def _spread(values) -> list[float]:
    """Mean and the ends of its 95 % interval; without ends where there is one seed."""
    values = np.asarray(values, float)
    return [round(float(each), 6) for each in (interval(values) if len(values) > 1 else [values[0]])]


def arms(file: str, table: pd.DataFrame, task: str, encoder: str) -> list[dict]:
    """The pruned runs that the scores of a file chose, as arms: accuracy with its interval, random beside it, seeds, chapter.

    `table`: :func:`datadiet.runs.released.tidy`. Random arms of the same settings stand among them, with rule "random".
    """
    name = f"test_{measure(task)}"
    by_key = table.set_index("key")[name]
    mine = table[(table["scores_file"] == file) & (table["kind"] == "pruned") & (table["encoder"] == encoder)]
    settings = {tuple(row) for row in mine[BASE].astype(str).itertuples(index=False)}
    same = [tuple(row) in settings for row in table[BASE].astype(str).itertuples(index=False)]
    random = table[same & (table["rule"] == "random").to_numpy() & (table["kind"] == "pruned")]
    found = []
    for _, arm in pd.concat([mine, random]).groupby(ARM, dropna=False, sort=True):
        first, twins = arm.iloc[0], arm.set_index(name)["random_key"].dropna()
        paired = np.array([[own, by_key[twin]] for own, twin in twins.items()])
        by_rank = first["rule"] != "random"
        found.append({
            "rule": first["rule"], "fraction": float(first["fraction"]), "offset": float(first["offset"] or 0),
            "balanced": bool(first["balanced"]), "budget": first["budget"],
            "score": first["score"] if by_rank else None, "at": str(first["at"]) if by_rank else None,
            "single": bool(by_rank and first["score_seeds"] == 1), "seeds": len(arm), "accuracy": _spread(arm[name]),
            "random": _spread(paired[:, 1]) if len(paired) else None,
            "gain": _spread(paired[:, 0] - paired[:, 1]) if len(paired) else None,
            "chapter": next((_chapter_of()[k] for k in arm["key"] if k in _chapter_of()), None),
        })  # fmt: skip
    return sorted(found, key=lambda arm: (arm["fraction"], arm["offset"], arm["balanced"], arm["single"], arm["budget"]))


def _inputs(run: dict, checksum: str) -> tuple[list[str] | None, np.ndarray | None, str]:
    """Texts and pictures [N, side, side] of the training examples, and why there are none."""
    try:
        task = runs.task_of(run)
    except InputError:
        return None, None, "The texts are not shown: the set was not in the data folder when this page was built."
    if task.checksum != checksum:
        return (
            None,
            None,
            "The texts are not shown: the set that was here when this page was built is not that of the published runs.",
        )
    inputs = task.train.inputs
    if "text" in inputs:
        pairs = (
            zip(inputs["text"], inputs["text_pair"], strict=True)
            if "text_pair" in inputs
            else ((text,) for text in inputs["text"])
        )
        return ["\n".join(pair) for pair in pairs], None, ""
    if isinstance(inputs.get("image"), np.ndarray) and inputs["image"].shape[1] == 1:
        return None, np.round(255 * inputs["image"][:, 0]).astype(np.uint8), ""
    return None, None, "The examples of this set are not shown on this page."


def one(file: str, table: pd.DataFrame) -> dict:
    """A set as the page holds it. `table`: :func:`datadiet.runs.released.tidy`.

    Raises
    ------
    InputError
        A file of scores that is not published, or that has more examples than three digits can number.
    """
    keys = released.scored_by(file)
    rows = store.published(keys)
    configs = [runs.config(**rows[k]["config"]) for k in keys]
    recorded, said = [store.arrays(k, "published") for k in keys], rows[keys[0]]["provenance"]
    labels, ids, run = recorded[0]["labels"], recorded[0]["ids"], configs[0]
    n = len(labels)
    if n > MOST:
        raise InputError(f"explorer.runs.one: {file} has {n} examples; a page holds {MOST} of a set at most.")
    tried = arms(file, table, run["task"], run["encoder"])
    names = {str(at): at for at in run["score_at"]}
    ranked_by = sorted({(arm["score"], names[arm["at"]]) for arm in tried if arm["score"]}, key=str)
    values = published_columns(configs, recorded, ranked_by)
    mean = np.mean([probabilities(arrays["logits"][-1]) for arrays in recorded], axis=0)
    texts, pictures, why = _inputs(run, said["data_checksum"])
    if texts and sum(len(text.encode()) for text in texts) > BUDGET:
        ends = {int(i) for found, ranked in values.values() if ranked
                for i in np.argsort(-found, kind="stable")[np.r_[:SHOWN, -SHOWN:0]]}  # fmt: skip
        why = f"The texts of this set would fill the page: those of the {SHOWN} hardest and easiest by each score are held."
        texts = {str(i): texts[i] for i in sorted(ends)}
    full = [rows[k]["metrics"][f"test_{measure(run['task'])}"] for k in keys]
    return {
        "net": f"{run['encoder']}, {run['epochs']} epochs", "seeds": len(keys), "last": moment(run["score_at"][-1]),
        "classes": list(said["label_names"]), "labels": in_bytes(labels), "said": in_bytes(mean.argmax(1)),
        "truth": in_bytes(recorded[0]["truth"]) if "truth" in recorded[0] else None,
        "ids": None if np.array_equal(ids, np.arange(n)) else ids.tolist(),
        "columns": [column(*name, found, ranked) for name, (found, ranked) in values.items()],
        "arms": tried, "full": _spread(full), "texts": texts, "why": why,
        "pictures": None if pictures is None else in_bytes(pictures),
        "side": None if pictures is None else pictures.shape[1],
    }  # fmt: skip


def every() -> dict[str, dict]:
    """The sets of the page by the name that the reader chooses; none where nothing is published."""
    table = released.tidy()
    return {name: one(file, table) for file, name in SETS.items()} if len(table) else {}
