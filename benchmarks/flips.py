"""Who finds labels that were flipped: ours at several budgets, cleanlab on frozen features, and a fine-tuned cross-validation.

For each set and seed, 1,500 rows are drawn and 10 % of their labels flipped; every peer ranks the same rows. Ours gets a CSV
and a budget, and sees neither the rate nor the seed. cleanlab's scores read out-of-fold probabilities: of a logistic regression
as scikit-learn has it, on the encoder's mean token of length one (pairs: u, v, ``|u - v|``, ``u v``); and of the encoder
fine-tuned, five folds each. A row is measured once and kept, so a killed run goes on.
"""

import csv
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks import harness
from datadiet import data
from datadiet.errors import InputError
from datadiet.runs import sealed

SETS = ("snli_subset", "rte", "trec6", "sst2_sentences", "docstrings", "utterances")
JOINT = ("atis", "snips", "facebook_tod_en")  # whose utterances and intents, put together, are the set of many classes
ROWS, RATE, FOLDS = 1500, 0.1, 5
EPOCHS, LEARNING_RATE, BATCH, TOKENS = 3, 1e-4, 16, 128  # of fine-tuning, with linear decay; tokens for all peers
FROZEN, TUNED = "frozen features", "fine-tuned"
CLEANLAB = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
KEY = ["set", "seed", "peer", "rows"]


def drawn(name: str, seed: int, rows: int = ROWS) -> data.Task:
    """Rows of a set, every class in proportion, 10 % of them with a wrong label; ``truth`` has the right ones."""
    if name != "utterances":
        task = data.load(name)
    else:
        texts, labels, names, each_one = [], [], [], None
        for each in JOINT:
            each_one = data.load(each)
            texts += [" ".join(words) for words in each_one.train.inputs["tokens"]]
            labels.append(each_one.train.labels + len(names))
            names += [f"{each}: {intent}" for intent in each_one.label_names]
        split = data.Split(np.arange(len(texts)), np.concatenate(labels), {"text": texts})
        task = replace(each_one, name=name, kind="text", label_names=tuple(names), train=split, slot_names=None)
    task = replace(task, validation=None, test=None)
    return data.flip_labels(data.shrink(task, min(rows, len(task.train)), seed), RATE, seed)


def ours(task: data.Task, seed: int, budget: float) -> dict:
    """What ``datadiet score`` finds within a budget of seconds, from the file on."""
    from datadiet import tables
    from datadiet.audit import engine

    inputs, names = task.train.inputs, task.label_names
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.csv"
        with file.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow([*inputs, "label"])
            writer.writerows(zip(*inputs.values(), [names[label] for label in task.train.labels], strict=True))
        start = time.perf_counter()
        pair = "text_pair" if "text_pair" in inputs else None
        audit = engine.of_table(
            tables.read(file), text="text", text_pair=pair, label="label", budget=budget, max_length=TOKENS, seed=seed
        )
        seconds = time.perf_counter() - start
    wrong = np.zeros(len(task.train))
    wrong[audit.rows] = audit.wrong
    estimate, low, high = audit.count
    said = {"seconds": seconds, "estimate": estimate, "low": low, "high": high, "members": str(audit.how["members"])}
    return {"scores": {audit.used: audit.scores[audit.used]}, "wrong": wrong, **said}


def frozen(task: data.Task, seed: int) -> dict:
    """cleanlab's scores of a logistic regression on the encoder as it is."""
    import torch
    from sklearn.linear_model import LogisticRegression

    from datadiet.nets import device, encoders

    start = time.perf_counter()
    place, tokenizer = device.best(), encoders.tokenizer("minilm")
    model = encoders.classifier("minilm", 2, every_token=True).base_model.to(place).eval()
    columns = []
    for texts in task.train.inputs.values():
        order, found = np.argsort([len(text) for text in texts], kind="stable"), np.empty((len(texts), model.config.hidden_size))
        for i in range(0, len(order), 32):
            some = order[i : i + 32]
            batch = tokenizer([texts[row] for row in some], truncation=True, max_length=TOKENS, padding=True, return_tensors="pt")
            batch = {key: value.to(place) for key, value in batch.items()}
            with torch.inference_mode():
                hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None]
            found[some] = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1).cpu().numpy()
        columns.append(found)
    if len(columns) == 2:
        u, v = columns
        columns += [np.abs(u - v), u * v]
    from datadiet.audit.folds import out_of_fold

    known, labels = np.unique(task.train.labels, return_inverse=True)
    probs = out_of_fold(LogisticRegression(max_iter=1000), np.hstack(columns), labels, folds=FOLDS, seed=seed, notes=[])
    return _cleanlab(labels, probs, start)


def tuned(task: data.Task, seed: int) -> dict:
    """cleanlab's scores of the encoder fine-tuned on four fifths of the rows, five times."""
    from scipy.special import softmax

    from datadiet import runs
    from datadiet.audit.folds import deal
    from datadiet.nets import device
    from datadiet.training import kinds, loop

    start = time.perf_counter()
    config = runs.config(task=task.name, encoder="minilm-mean", epochs=EPOCHS, quick=True, learning_rate=LEARNING_RATE,
                         max_length=TOKENS, batch_size=BATCH, seed=seed, device=device.name_of(device.best()))  # fmt: skip
    fold, rng = deal(task.train.labels, FOLDS, np.random.default_rng(seed)), np.random.default_rng(seed)
    probs = np.empty((len(task.train), task.n_classes))
    for held in range(FOLDS):
        kept, rows = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
        fitted = loop.Loop(config, task, EPOCHS * loop.updates_per_epoch(len(kept), BATCH))
        train = fitted.problem.splits["train"]
        with device.seeded(fitted.device, loop.DROPOUT_STREAM + seed):
            for _ in range(EPOCHS):
                for _ in fitted.updates(train.shuffled(kept, BATCH, rng)):
                    pass
        probs[rows] = softmax(kinds.predict(fitted.model, train, rows)["logits"][rows].astype(float), 1)
    known, labels = np.unique(task.train.labels, return_inverse=True)
    probs = probs[:, known]
    return _cleanlab(labels, probs / probs.sum(1, keepdims=True), start)


def _cleanlab(labels, probs, start: float) -> dict:
    from cleanlab.rank import get_label_quality_scores

    seconds = time.perf_counter() - start
    found = {}
    for method in CLEANLAB:
        # A margin that is adjusted, an entropy that is not: as cleanlab's documents have them.
        found[method] = -get_label_quality_scores(labels, probs, method=method)
    return {"scores": found, "seconds": seconds}


def judged(task: data.Task, found: dict) -> list[dict]:
    """A row a score: area under the curve, precision at the number planted, seconds, and what else was said."""
    from sklearn.metrics import roc_auc_score

    flips = task.train.labels != task.truth
    said = {name: value for name, value in found.items() if name not in ("scores", "wrong")} | {"flips": int(flips.sum())}
    if "wrong" in found:  # the sum over rows of (probability - flip) squared, divided by their number
        said["brier"] = float(((found["wrong"] - flips) ** 2).mean())
    return [
        {"score": name, "auc": float(roc_auc_score(flips, values)),
         "precision": float(flips[np.argsort(-values, kind="stable")[: flips.sum()]].mean()), **said}
        for name, values in found["scores"].items()
    ]  # fmt: skip


def measured(name: str, seed: int, peer: str, rows: int) -> list[dict]:
    """Rows of one peer on one draw; one row with the reason where it cannot."""
    from datadiet.audit import clock

    with tempfile.TemporaryDirectory() as folder:  # nothing that was computed before is used
        os.environ["DATADIET_STORE"] = folder
        try:
            task = drawn(name, seed, rows)
            if peer.startswith("datadiet"):
                found = ours(task, seed, clock.seconds(peer.split()[1]))
            else:
                found = {FROZEN: frozen, TUNED: tuned}[peer](task, seed)
            return judged(task, found)
        except Exception as problem:  # a peer that is not installed, a set that is not there: a result, as in the harness
            return [harness.failure(problem)]


def run(file: Path | None, sets, seeds: int, peers, rows: int = ROWS, at_once: int = 1) -> pd.DataFrame:
    """Every row, the ones in `file` and the ones measured now; each is written as soon as it is there.

    Parameters
    ----------
    file : Path, optional
        Parquet file that is read and written; nothing is written where None. Rows that failed are tried again.
    sets, peers : lists of str
        Peers are ``"datadiet BUDGET"``, "frozen features" and "fine-tuned".
    seeds : int
        Draws of rows and flips, 0 to seeds - 1. A seed is finished on all sets before the next.
    at_once : int
        Peers that are measured beside each other, on their share of the processor's cores; ours, whose budget is of time, alone.

    Raises
    ------
    InputError
        Unknown sets or peers; ours among several at once.
    """
    known = {"sets": (sets, SETS), "peers": ([each for each in peers if not each.startswith("datadiet ")], (FROZEN, TUNED))}
    for what, (asked, possible) in known.items():
        if unknown := set(asked) - set(possible):
            raise InputError(f"python -m benchmarks flips: unknown {what} {sorted(unknown)}; choose from {', '.join(possible)}.")
    table = pd.read_parquet(file) if file is not None and file.is_file() else pd.DataFrame(columns=[*KEY, "score", "failed"])
    if "failed" in table:
        table = table[table["failed"].isna()]
    there = set(zip(*(table[name] for name in KEY), strict=True))
    wanted = [(name, seed, peer, rows) for seed in range(seeds) for name in sets for peer in peers]
    if at_once > 1 and (timed := [each for each in peers if each.startswith("datadiet ")]):
        raise InputError(f"python -m benchmarks flips: {', '.join(timed)} beside others; a budget of time is measured alone.")
    threads = max(1, (os.cpu_count() or 1) // at_once)
    about = harness.origin(threads)
    todo = [unit for unit in wanted if unit not in there]
    with tqdm(total=len(todo), desc="flips", unit="draw") as bar:
        for first in range(0, len(todo), at_once):
            units = todo[first : first + at_once]
            with ThreadPoolExecutor(at_once) as pool:
                several = list(pool.map(lambda unit: _alone(unit, threads), units))
            for unit, found in zip(units, several, strict=True):
                table = _with(table, unit, about | {"load": os.getloadavg()[0]}, found, file)
            bar.update(len(units))
    return table


def _alone(unit: tuple, threads: int) -> list[dict]:
    """A unit in a process of its own: no peer finds memory, or modules, that another has left."""
    with ProcessPoolExecutor(1, get_context("spawn"), _begun, (threads,)) as one:
        return one.submit(measured, *unit).result()


def _begun(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _with(table: pd.DataFrame, unit: tuple, about: dict, found: list[dict], file: Path | None) -> pd.DataFrame:
    """The table and the rows that were found for a unit, written to `file`."""
    new = pd.DataFrame([dict(zip(KEY, unit, strict=True)) | about | each for each in found])
    table = pd.concat([table, new], ignore_index=True) if len(table) else new
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        half = file.with_suffix(".half")
        table.to_parquet(half, compression="zstd", index=False)
        half.replace(file)
        sealed.seal(file.parent.parent, [f"{file.parent.name}/{file.name}"])
    return table
