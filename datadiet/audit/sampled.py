"""A model of texts that is fitted once, on a sample of a table in partitions: a logistic regression on a frozen encoder.

    model = stored(parts, "scored/", settings, engine, "partitions.score")
    complete, probs, codes, more = predict(model.of(part), settings, first_row, batch)

No row is scored by a model that was fitted on it: a row of the sample has the probabilities of the model of its fold, every other
row those of the model of the whole sample, which never saw it.
"""

import json
import os
import uuid
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datadiet.audit import parts as pieces
from datadiet.errors import InputError
from datadiet.tables.columns import plain_column, selected

FOLDS = 5
TOGETHER = 64  # texts in a pass of the encoder: with their length, the bound of a worker's memory
READ = 65_536  # rows at a time, while the sample is drawn


@dataclass(frozen=True)
class Model:
    """Weights [K, d] and biases [K] of the whole sample, its classes, and its rows (positions) out of fold [m, K]."""

    weights: np.ndarray
    biases: np.ndarray
    classes: np.ndarray
    rows: np.ndarray
    probs: np.ndarray

    def of(self, part) -> "Model":
        """The same with the rows of one partition alone, counted from its first: all that the worker needs."""
        first, last = np.searchsorted(self.rows, [part.start, part.start + part.rows])
        return Model(self.weights, self.biases, self.classes, self.rows[first:last] - part.start, self.probs[first:last])


def stored(todo, out, settings: dict, engine: str, name: str) -> Model:
    """The model in ``out/_model.npz``; fitted and stored there where it is not, so that a second call goes on with the same."""
    file, asked = Path(out) / "_model.npz", json.dumps([settings, sum(part.rows for part in todo)], sort_keys=True)
    if file.is_file():
        with np.load(file) as arrays:
            if str(arrays["asked"]) != asked:
                raise InputError(
                    f"{name}: {file} is a model of other settings or another table; give another folder, or remove this one."
                )
            return Model(*(arrays[each] for each in Model.__dataclass_fields__))
    model = fit(todo, settings, engine, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".model.{uuid.uuid4().hex}.part")
    with open(unfinished, "wb") as open_file:
        np.savez(open_file, asked=asked, **{each: getattr(model, each) for each in Model.__dataclass_fields__})
    os.replace(unfinished, file)
    return model


def fit(todo, settings: dict, engine: str, name: str) -> Model:
    """Fit on ``settings["sample"]`` rows, drawn without replacement from the whole table, less those without text or label.

    Raises
    ------
    InputError
        A sample of fewer than two classes, or with fewer rows than folds.
    """
    n, rng = sum(part.rows for part in todo), np.random.default_rng(settings["seed"])
    drawn = np.sort(rng.choice(n, min(settings["sample"], n), replace=False, shuffle=False))
    jobs = []
    for part in todo:
        first, last = np.searchsorted(drawn, [part.start, part.start + part.rows])
        if last > first:
            jobs.append((_sampled, part, drawn[first:last] - part.start, settings))
    found = pieces.each(jobs, engine, name, "reading the sample")
    labels = [label for _, some, _ in found for label in some]
    classes, codes = np.unique(np.array(labels, str), return_inverse=True)
    if len(classes) < 2 or len(codes) < FOLDS:
        raise InputError(
            f"{name}: the sample of {len(drawn)} rows holds {len(codes)} with text and label, of {len(classes)} class(es); "
            f"a model needs two classes and {FOLDS} rows. Raise sample=, or look at the columns."
        )
    x = np.concatenate([some for _, _, some in found])
    fold = np.empty(len(codes), np.int64)  # every class is dealt out in turn
    shuffled = rng.permutation(len(codes))
    fold[shuffled[np.argsort(codes[shuffled], kind="stable")]] = np.arange(len(codes)) % FOLDS
    probs = np.zeros((len(codes), len(classes)))
    for each in range(FOLDS):
        probs[fold == each] = _softmax(x[fold == each], *_regression(x[fold != each], codes[fold != each], len(classes)))
    return Model(*_regression(x, codes, len(classes)), classes, np.concatenate([rows for rows, _, _ in found]), probs)


def _sampled(part, wanted: np.ndarray, settings: dict):
    """Positions in the table, labels as typed and features of the wanted rows of a partition that have a text and a label."""
    rows, labels, texts = [], [], []
    for at, batch in pieces.batches(part, [settings["text"], settings["label"]], READ):
        mine = wanted[(wanted >= at) & (wanted < at + len(batch))] - at
        some = selected(batch, mine)
        complete = _complete(some, settings)
        rows += [int(each) for each in mine[complete] + at + part.start]
        labels += pc.cast(plain_column(some, settings["label"]), pa.string()).filter(pa.array(complete)).to_pylist()
        texts += plain_column(some, settings["text"]).filter(pa.array(complete)).to_pylist()
    return np.array(rows, np.int64), labels, features(texts, settings["encoder"], settings["max_length"])


def _complete(batch: pa.RecordBatch, settings: dict) -> np.ndarray:
    """Rows with a label, and a text that is not blank."""
    text = plain_column(batch, settings["text"])
    if not (pa.types.is_string(text.type) or pa.types.is_large_string(text.type)):
        raise InputError(f"partitions.score: {settings['text']!r} has type {text.type}; give a column of texts.")
    return pieces.valid(plain_column(batch, settings["label"])) & pieces.valid(text)


def _regression(x, codes, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights [K, d] and biases [K]; a class that is not among `codes` gets a bias of -inf, which is probability 0."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    seen, weights, biases = np.unique(codes), np.zeros((n_classes, x.shape[1])), np.full(n_classes, -np.inf)
    if len(seen) == 1:  # nothing to fit: the one class is sure
        biases[seen] = 0
        return weights, biases
    middle, spread = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    spread[spread == 0] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # probabilities are good enough long before
        fitted = LogisticRegression(C=0.01, max_iter=1000).fit((x - middle) / spread, codes)  # as `training.frozen` fits
    weight = fitted.coef_ / spread
    bias = fitted.intercept_ - weight @ middle
    if len(seen) == 2:  # one row of weights, of the second class
        weights[seen[1]], biases[seen] = weight[0], [0, bias[0]]
    else:
        weights[seen], biases[seen] = weight, bias
    return weights, biases


def _softmax(x, weights, biases) -> np.ndarray:
    logits = x @ weights.T + biases
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@cache
def _encoder(name: str):
    """The tokenizer, and the encoder whose last linear layer hands its input through."""
    from torch import nn

    from datadiet.nets import device, encoders

    model = encoders.classifier(name, 2)
    head = encoders.output_layer(model)
    path = next(each for each, module in model.named_modules() if module is head)
    model.set_submodule(path, nn.Identity())
    return encoders.tokenizer(name), model.to(device.best()), head.in_features


def features(texts: list[str], encoder: str, max_length: int) -> np.ndarray:
    """The input of the head for each text, float32 [n, d], in eval mode; `TOGETHER` texts of alike length at a time."""
    import torch

    tokenizer, model, width = _encoder(encoder)
    out = np.empty((len(texts), width), np.float32)
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    with torch.inference_mode():
        for first in range(0, len(order), TOGETHER):
            some = order[first : first + TOGETHER]
            # A text of five million letters is cut before it is cut into tokens: a token is hardly ever longer than 32 letters.
            inputs = tokenizer(
                [texts[number][: 32 * max_length] for number in some],
                truncation=True,
                max_length=max_length,
                padding=True,
                return_tensors="pt",
            ).to(next(model.parameters()).device)
            out[some] = model(**inputs).logits.float().cpu().numpy()
    return out


def predict(model: Model, settings: dict, at: int, batch: pa.RecordBatch):
    """Rows of a batch that can be scored, their probabilities [n, K], class numbers [n], and the class the model would give."""
    labels = pc.index_in(pc.cast(plain_column(batch, settings["label"]), pa.string()), pa.array(model.classes))
    complete = _complete(batch, settings) & pc.is_valid(labels).to_numpy(zero_copy_only=False)
    kept = np.flatnonzero(complete)
    texts = plain_column(batch, settings["text"]).filter(pa.array(complete)).to_pylist()
    probs = _softmax(features(texts, settings["encoder"], settings["max_length"]), model.weights, model.biases)
    mine = np.searchsorted(kept, model.rows - at)
    inside = (mine < len(kept)) & (model.rows >= at)
    inside[inside] = kept[mine[inside]] == model.rows[inside] - at
    probs[mine[inside]] = model.probs[inside]
    guess = np.full(len(batch), None, object)
    guess[kept] = model.classes[probs.argmax(1)] if len(kept) else []
    codes = labels.filter(pa.array(complete)).to_numpy(zero_copy_only=False).astype(np.int64)
    return complete, probs, codes, {"datadiet_class": pa.array(guess, pa.string())}
