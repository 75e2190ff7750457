"""Tokens with tags, and perhaps a class a row: an audit by the joint score, from tags predicted out of fold.

    found = of_table(read("slots.jsonl"), tokens="tokens", tags="slots", label="intent", budget=300)
    found.wrong          # for each scored row, the probability that one of its labels is wrong

Features of tokens are frozen: two layers of an encoder, and the words themselves with their neighbours. Regressions on them tag
each row without having seen it.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from datadiet import __version__, scores
from datadiet.audit import frozen, members, planted, pool
from datadiet.audit import kept as keeping
from datadiet.audit.clock import Clock
from datadiet.audit.folds import deal
from datadiet.audit.found import learned
from datadiet.audit.kept import Kept
from datadiet.errors import InputError
from datadiet.tables import classes, tagged

FOLDS = 3
STRENGTH = 3.0  # inverse strength of the penalty: the middle of those that audits of texts choose from
LEAST = 2000  # tokens that a fit sees, at least, where there are so many
TIMED = 1000  # tokens of the fit that the time is estimated from
SHARE = 0.7  # of the time left that regressions may be planned to take
BATCH = 32
BLOCK = 8 * BATCH  # rows whose vectors are kept together
COMBINED = ("norm", "sum", "mean", "rms")
NAMES = (*(f"joint_{how}" for how in COMBINED), "worst")


@dataclass(frozen=True)
class TaggedAudit:
    """Findings about a table of tokens with tags; names as in :class:`datadiet.audit.Audit` mean the same.

    Attributes
    ----------
    rows, scores, used, wrong, count, check, planted, warnings, how
        Of rows. ``scores``: the forms of :func:`datadiet.scores.joint_el2n`, and "worst", the longest error vector of the row.
    tags : list of lists of str
        Tags that the models would give to each row.
    word : int64 array [n]
        Position in the row, from 1, of the token whose tag is hardest.
    classes : list of str or None
        Class that the models would give to each row, where there is a label.
    accuracy, majority : float
        Share of tokens whose tag the models give, out of fold; share of the most frequent tag.
    """

    rows: np.ndarray
    scores: dict
    used: str
    wrong: np.ndarray
    count: tuple[float, float, float]
    check: pd.DataFrame
    planted: int
    tags: list
    word: np.ndarray
    classes: list | None
    accuracy: float
    majority: float
    warnings: tuple[str, ...]
    how: dict


@dataclass(frozen=True)
class Labels:
    """Labels of all rows: tags end to end [t], the row of each [t], and classes [n] or None."""

    tags: np.ndarray
    row: np.ndarray
    classes: np.ndarray | None


def of_table(
    table, *, tokens, tags, label=None, score=None, budget=300.0, encoder="minilm", max_length=128, seed=0, keep=False,
    progress=False, start=None,
) -> TaggedAudit:  # fmt: skip
    """Audit of the rows that have tokens, tags and, where a label is named, a class.

    Parameters
    ----------
    table : Table
    tokens, tags : str
        Columns, see :func:`datadiet.tables.tagged.read`.
    label : str, optional
        Column of the class of a row, an intent for instance. Without it its part of the joint score is 0.
    score : str, optional
        A name of :data:`NAMES`; the one that finds most rows with a planted flip where not given.
    budget : float
        Seconds; regressions see fewer tokens where it is short.
    start : float, optional
        Reading of ``time.monotonic()`` from which the budget runs; that of this call where not given.
    encoder, max_length
        As for :func:`datadiet.audit.engine.of_table`. Of a row that is longer, tokens beyond are tagged by their words alone.
    keep : bool or Kept
        As for texts.

    Raises
    ------
    InputError
        See :func:`datadiet.tables.tagged.read`; fewer than ten rows; an unknown score or encoder.

    Notes
    -----
    A planted flip changes one label of a row: its class, by a coin where it has one, or the tag of a token drawn at random, to
    another tag drawn by how frequent tags are.
    """
    clock = Clock(budget, start)
    if score is not None and score not in NAMES:
        raise InputError(f"datadiet score: unknown score {score!r} of tokens with tags; choose one of {', '.join(NAMES)}.")
    found = tagged.read(table, tokens, tags)
    groups = None if label is None else classes(table, label)
    there = np.arange(len(found.rows)) if groups is None else np.flatnonzero(groups.of[found.rows] >= 0)
    rows, words = found.rows[there], [found.tokens[i] for i in there]
    if len(rows) < 10:
        raise InputError(
            f"datadiet score: {len(rows)} rows have tokens, tags{' and a label' if label else ''}; ten are the fewest that can "
            "be told apart by models that did not see them."
        )
    sizes = np.array([len(each) for each in words])
    given = Labels(
        np.concatenate([found.tags[i] for i in there]), np.repeat(np.arange(len(rows)), sizes),
        None if groups is None else groups.of[rows],
    )  # fmt: skip
    names, intents = found.names, () if groups is None else groups.names
    said = []
    labels = given.tags.tolist(), None if groups is None else given.classes.tolist()
    content = ["tags", hashlib.sha256(repr((words, labels)).encode("utf-8", "surrogatepass")).hexdigest()]
    steps = keeping.steps(keep, content, encoder=encoder, max_length=max_length, seed=seed)
    asked = {"encoder": encoder, "max_length": max_length, "kept": steps, "progress": progress}
    matrices, whole, cut = features(words, **asked)
    if cut:
        said.append(f"{cut} rows are longer than {max_length} pieces of words, and read up to there; --max-length changes it.")
    fold = deal(np.zeros(len(rows), np.int64) if groups is None else given.classes, FOLDS, np.random.default_rng(seed))
    fit = steps.step(f"tokens in {budget} s", lambda: {"most": np.array(affordable(matrices, given.tags, len(names), clock))})
    most = int(fit["most"])
    if most < len(given.tags):
        said.append(f"For want of time each regression saw {most} of {len(given.tags)} tokens. Give more with --budget.")

    def predicted(labels: Labels, of: str):
        """Probabilities of tags [t, S] and of classes [n, K] or None, out of fold."""

        def fitted(what: str, *asked) -> np.ndarray:
            return steps.step(f"{what} of {of}", lambda: {"probs": members.held_out(*asked, seed)})["probs"]

        at = fold[labels.row]
        made = [
            fitted(f"tags by matrix {k}, {most} tokens,", matrix, labels.tags, len(names), STRENGTH, at, most)
            for k, matrix in enumerate(matrices)
        ]
        of_tags = pool.pooled(made, labels.tags, at)[0]
        if labels.classes is None:
            return of_tags, None
        return of_tags, fitted("classes", whole, labels.classes, len(intents), STRENGTH, fold, None)

    of_tags, of_classes = predicted(given, "the labels")
    made, errors = joint(of_tags, of_classes, given)
    copy, where = planted_rows(given, len(names), len(intents), np.random.default_rng([seed, 1]))
    again = joint(*predicted(copy, "the copy"), copy)[0]
    check = planted.rated({name: [again[name]] for name in NAMES}, [where])
    used = score or check["score"][0]
    wrong, count = planted.judged(made[used], [again[used]], [where])
    accuracy = float((of_tags.argmax(1) == given.tags).mean())
    majority = float(np.bincount(given.tags).max() / len(given.tags))
    if not learned(accuracy, majority):
        said.append(
            f"The models have not learned: out of fold they give {accuracy:.0%} of the tags, and always the most frequent one "
            f"would be {majority:.0%}. The scores say little."
        )
    row = check[check["score"] == used].iloc[0]
    if row["low"] <= 0.5:
        said.append(f"Planted flips were not found better than at random (area under the curve {row['auc']:.2f}): the ranking is "
                    "no guide to wrong labels here.")  # fmt: skip
    said += steps.said()
    if not steps.until_written:
        steps.forget()
    starts = np.cumsum(sizes) - sizes
    guess = of_tags.argmax(1)
    return TaggedAudit(
        rows=rows, scores=made, used=used, wrong=wrong, count=count, check=check, planted=int(where.sum()),
        tags=[[names[k] for k in guess[a : a + n]] for a, n in zip(starts, sizes, strict=True)],
        word=np.array([errors[a : a + n].argmax() + 1 for a, n in zip(starts, sizes, strict=True)]),
        classes=None if of_classes is None else [intents[k] for k in of_classes.argmax(1)],
        accuracy=accuracy, majority=majority, warnings=tuple(said),
        how={"tokens": tokens, "tags": tags, "label": label, "encoder": encoder, "max_length": max_length, "seed": seed,
             "folds": FOLDS, "models": FOLDS * len(matrices), "budget": budget, "seconds": round(clock.spent, 1),
             "version": __version__},
    )  # fmt: skip


def joint(of_tags, of_classes, given: Labels) -> tuple[dict, np.ndarray]:
    """Scores of rows by name [n], and the length of the error vector of each token [t].

    ``joint_...`` equal :func:`datadiet.scores.joint_el2n`; where there are no classes, their part is 0.
    """
    errors, n = scores.el2n(of_tags, given.tags), given.row[-1] + 1
    e_class = np.zeros(n) if of_classes is None else scores.el2n(of_classes, given.classes)
    sums, squares, counts = (np.bincount(given.row, weights, n) for weights in (errors, errors**2, None))
    made = {f"joint_{how}": scores.combined(e_class, sums, squares, counts, how) for how in COMBINED}
    worst = e_class.copy()
    np.maximum.at(worst, given.row, errors)
    return made | {"worst": worst}, errors


def planted_rows(given: Labels, tags: int, intents: int, rng) -> tuple[Labels, np.ndarray]:
    """A copy of the labels in which some rows have one wrong, and which rows, bool [n]."""
    n = given.row[-1] + 1
    wanted = min(max(round(planted.SHARE * n), planted.FEWEST), n // 5)
    chosen = rng.permutation(n)[:wanted]
    new_tags, new_classes = given.tags.copy(), None if given.classes is None else given.classes.copy()
    share = np.bincount(given.tags, minlength=tags) / len(given.tags)
    firsts = np.searchsorted(given.row, np.arange(n + 1))
    for row in chosen:
        if intents > 1 and rng.random() < 0.5:
            new_classes[row] = (given.classes[row] + rng.integers(1, intents)) % intents
            continue
        at = rng.integers(firsts[row], firsts[row + 1])
        others = np.where(np.arange(tags) == given.tags[at], 0, share)
        new_tags[at] = rng.choice(tags, p=others / others.sum())
    where = np.zeros(n, bool)
    where[chosen] = True
    return Labels(new_tags, given.row, new_classes), where


def affordable(matrices, codes, classes: int, clock: Clock) -> int:
    """Tokens that a fit may see, so that all of them, of the labels and of the copy, keep within the budget."""
    rows = np.random.default_rng(0).permutation(len(codes))[:TIMED]
    before = clock.spent
    members.held_out(matrices[0][rows], codes[rows], classes, STRENGTH, (np.arange(len(rows)) == 0).astype(int))
    one = (clock.spent - before) / len(rows)  # both of its folds, one of a single row
    most = int(SHARE * clock.left / (2 * FOLDS * len(matrices) * max(one, 1e-9)))
    return min(max(most, LEAST), len(codes))


def features(words: list, *, encoder: str, max_length: int, kept: Kept, progress: bool):
    """Matrices of tokens, float32 [t, d], each of mean length one; one of rows [n, d]; and how many rows were cut.

    A token has the mean of its pieces in a middle and in the last layer of the encoder (zeros beyond `max_length`), and the
    principal components of its word and of its neighbours.
    """
    import torch

    from datadiet.nets import device, encoders

    name = "minilm" if encoder == "minilm-mean" else encoder
    tokenizer, place = encoders.word_tokenizer(name), device.best()
    model = encoders.classifier(name, 2, every_token=True).base_model.to(place).eval()
    limit = min(max_length, getattr(model.config, "max_position_embeddings", max_length) - 2)
    depth = model.config.num_hidden_layers
    layers = sorted({(depth + 1) // 2, depth})
    sizes = np.array([len(each) for each in words])
    starts, order = np.cumsum(sizes) - sizes, np.argsort(-sizes, kind="stable")

    @torch.inference_mode()
    def block(first: int, bar) -> dict:
        """Vectors of the tokens of a block of rows in each layer, one of each row, and how many rows were cut."""
        made, whole, cut = {f"layer {layer}": [] for layer in layers}, [], 0
        for i in range(first, min(first + BLOCK, len(order)), BATCH):
            some = order[i : i + BATCH]
            batch = tokenizer([words[row] for row in some], is_split_into_words=True, truncation=True, max_length=limit,
                              padding=True, return_tensors="pt")  # fmt: skip
            inputs = {key: value.to(place) for key, value in batch.items()}
            states = model(**inputs, output_hidden_states=True).hidden_states
            found = [states[layer].float().cpu().numpy() for layer in layers]
            for k, row in enumerate(some):
                places = np.array([-1 if word is None else word for word in batch.word_ids(k)])
                pieces = np.flatnonzero(places >= 0)
                whole.append(found[-1][k, pieces].sum(0) / max(len(pieces), 1))
                count = np.bincount(places[pieces], minlength=sizes[row])
                cut += bool(len(pieces)) and places[pieces].max() < sizes[row] - 1
                for vectors, state in zip(made.values(), found, strict=True):
                    sums = np.zeros((sizes[row], state.shape[-1]), np.float32)
                    np.add.at(sums, places[pieces], state[k, pieces])
                    vectors.append(sums / np.maximum(count, 1)[:, None].astype(np.float32))
            bar.update(len(some))
        return {name: np.concatenate(each) for name, each in made.items()} | {"whole": np.stack(whole), "cut": np.array(cut)}

    with tqdm(total=len(words), disable=not progress, desc="encoding", unit="row", leave=False) as bar:
        firsts = range(0, len(order), BLOCK)
        blocks = [kept.step(f"encoded {first}", lambda first=first: block(first, bar)) for first in firsts]
    tokens = np.concatenate([np.arange(starts[row], starts[row] + sizes[row]) for row in order])

    def placed(name: str, at: np.ndarray) -> np.ndarray:
        out = np.empty((len(at), model.config.hidden_size), np.float32)
        out[at] = np.concatenate([each[name] for each in blocks])
        return out

    around = of_words([" ".join(each) for each in neighbours(words)])
    found = [*(placed(f"layer {layer}", tokens) for layer in layers), *([] if around is None else [around])]
    cut = sum(int(each["cut"]) for each in blocks)
    return [frozen.components(matrix) for matrix in found], frozen.components(placed("whole", order)), cut


def neighbours(words: list):
    """For each token the names of its word, its ending, its shape and the words beside it.

    >>> [" ".join(each) for each in neighbours([["To", "Ulm"]])]
    ['w=to e=to s=Xx n=ulm', 'w=ulm e=ulm s=Xxx p=to']
    """
    for row in words:
        low = [each.lower().replace(" ", "_") for each in row]
        for k, word in enumerate(row):
            shape = "".join("X" if c.isupper() else "x" if c.islower() else "9" if c.isdigit() else c for c in word)[:8]
            said = [f"w={low[k]}", f"e={low[k][-3:]}", f"s={shape.replace(' ', '_')}"]
            yield said + [f"p={each}" for each in low[:k][-1:]] + [f"n={each}" for each in low[k + 1 : k + 2]]


def of_words(texts: list) -> np.ndarray | None:
    """Principal components float32 [t, at most 150] of TF-IDF; None where no word occurs twice."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    try:
        matrix = TfidfVectorizer(token_pattern=r"\S+", lowercase=False, min_df=2, max_features=20_000).fit_transform(texts)
    except ValueError:  # no word occurs twice
        return None
    width = min(frozen.WORDS, min(matrix.shape) - 1)
    if width < 1:
        return None
    with threadpool_limits(1):
        left, sizes, _ = randomized_svd(matrix, width, random_state=0)
    return (left * sizes).astype(np.float32)


def columns(audit: TaggedAudit, length: int) -> dict[str, list]:
    """New columns of a table of `length` rows; None where a row was not scored. Tags are one text with blanks between."""
    out = {
        f"datadiet_{audit.used}": audit.scores[audit.used].tolist(),
        "datadiet_wrong": audit.wrong.tolist(),
        "datadiet_tags": [" ".join(each) for each in audit.tags],
        "datadiet_word": audit.word.tolist(),
        **({"datadiet_class": audit.classes} if audit.classes is not None else {}),
        "datadiet_runs": [audit.how["models"]] * len(audit.rows),
    }
    whole = {name: [None] * length for name in out}
    for name, values in out.items():
        for row, value in zip(audit.rows.tolist(), values, strict=True):
            whole[name][row] = value
    return whole
