"""Small things that several tests use: a data folder with one tiny set, a store of its own, settings that run in a second."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from datadiet import data, runs
from datadiet.chapters import ledger, queue
from datadiet.chapters.settings import settings_of

WORDS = {
    "fruit": "apple pear plum grape melon cherry".split(),
    "tool": "saw axe drill hammer wrench pliers".split(),
    "river": "rhine elbe danube spree main oder".split(),
}
TINY = {"encoder": "tiny", "max_length": 12, "learning_rate": 1e-3, "validation": 0.2}


def write_words(folder, n_train=61, n_test=30, seed=0):
    """A three-class set of two-word texts, in the layout of the real ones; n is not a multiple of the batch size on purpose."""
    rng, names = np.random.default_rng(seed), list(WORDS)
    for split, n in (("train", n_train), ("test", n_test)):
        labels = rng.integers(0, 3, n)
        texts = [" ".join(rng.choice(WORDS[names[k]], 2)) + f" {i}" for i, k in enumerate(labels)]
        table = pa.table({"text": texts, "label": labels})
        table = table.replace_schema_metadata({"label_names": json.dumps(names)})
        (folder / "words").mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / "words" / f"{split}.parquet")


@pytest.fixture
def words(tmp_path, monkeypatch):
    """A data folder that holds the set "words", and an empty live store."""
    write_words(tmp_path / "data")
    monkeypatch.setenv("DATADIET_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DATADIET_STORE", str(tmp_path / "store"))
    runs._task.cache_clear()  # the same name may mean another folder's set
    yield tmp_path
    runs._task.cache_clear()


def config(**changes):
    """A run on "words" that takes a fraction of a second."""
    return runs.config(**({"task": "words", "epochs": 1, "batch_size": 8, "score_at": [0, "1ep"]} | TINY | changes))


def settings(chapter="score-timing", **changes):
    """Settings of a chapter on "words"; of those that stand here, the ones that the chapter has."""
    small = {"tasks": ["words"], "fractions": [0.3, 0.6], "size": None, "batch_size": 8, "noise": 0.0,
             "score_at": [0, 2, "1ep", "2ep"]} | TINY
    known = settings_of("smoke", chapter)
    return settings_of("smoke", chapter, **{name: value for name, value in small.items() if name in known} | changes)


KINDS = ("texts", "images", "tags", "trained")


def scorable(kind, folder, n=80):
    """Words of a ``datadiet score`` of `n` rows of a kind, run in `folder`, with time for everything; the file that it writes."""
    draw = np.random.default_rng(0)
    often = "--budget", "5h"
    if kind == "images":
        for k in range(n):
            (folder / "rows" / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
            pixels = draw.integers(0, 150, (20, 24, 3)) + 100 * (k % 2)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "rows" / "ab"[k % 2] / f"{k:03d}.png")
        return ["score", "rows", *often], folder / "rows.scored.csv"
    if kind == "tags":
        places = draw.choice(["ulm", "bonn", "kiel"], (n, 2))
        lines = [{"tokens": ["from", a, "to", b, str(k)], "tags": ["O", "B-from", "O", "B-to", "O"], "way": "ab"[k % 2]}
                 for k, (a, b) in enumerate(places.tolist())]  # fmt: skip
        (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return ["score", "rows.jsonl", "--label", "way", "--encoder", "tiny", *often], folder / "rows.scored.jsonl"
    train = data.shrink(data.load("docstrings"), n, seed=0).train
    texts = [json.dumps(text.replace('"', "")) for text in train.inputs["text"]]
    lines = [f"{text},{label}\n" for text, label in zip(texts, train.labels, strict=True)]
    (folder / "rows.csv").write_text("text,label\n" + "".join(lines))
    how = ["--text", "text", "--label", "label", "--encoder", "tiny", *(["--trained"] if kind == "trained" else [])]
    return ["score", "rows.csv", *how, *often], folder / "rows.scored.csv"


# Numbers of `datadiet.audit` with which small calls have many steps: small blocks, and a state that is kept at each epoch.
STEPS = {"pictures.BLOCK": 32, "tagged.BLOCK": 32, "trained.APART": 0, "trained.MOST_RUNS": 2}


def rows(arm, values, column="test_accuracy", **more):
    """Rows of a table of runs, as if the runs of an arm had come out so: a value a seed, None where a run is missing."""
    known = {"label_names": ("fruit", "tool", "river"), "n_kept": 100}
    return [{"key": runs.key(run), "task": run["task"], "seed": run["seed"], column: value} | known | more
            for run, value in zip(arm, values, strict=True) if value is not None]


def partial_profiles():
    """Profiles that may have files for some chapters alone: those whose runs are evidence beside the standard ones, or queued."""
    return set(ledger.EVIDENCE[1:]) | {entry.profile for entry in queue.entries()}


def outcome_of(claim, settings, table):
    """The outcome of the one experiment that a table of one task is, whether or not it counts."""
    (found,) = ledger.decide(claim, settings, table).experiments
    return found.outcome


def around(mean, n=5, wobble=0.001):
    """A value a seed, evenly spread around a mean."""
    return [mean + wobble * (seed - (n - 1) / 2) for seed in range(n)]
