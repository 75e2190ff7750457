"""An audit: models that never saw a row say what its label should be; planted flips say how far to trust them.

found = of_table(read("mine.csv"), text="question", label="topic", budget=300)
found.wrong          # for each scored row, the probability that its label is wrong
"""

from dataclasses import dataclass

import numpy as np

from datadiet import __version__, scores
from datadiet.audit import doubt, frozen, members, planted, pool, tuned
from datadiet.audit import kept as keeping
from datadiet.audit.clock import Clock, rounded
from datadiet.audit.folds import deal
from datadiet.audit.found import Audit, learned
from datadiet.audit.kept import Kept
from datadiet.errors import InputError

COPIES = (2, 6)  # of the labels with planted flips: at least, at most
LARGE = 50_000  # rows beyond which two copies tell enough
PASSES = 2  # of fitting all members: one chooses their strengths; copies and repeats, which have them, take a quarter of it each
REPEATS = 4  # draws of the folds that are averaged, at most
REPEATED = 1000  # stream of their draws
KNOWN = 0.995  # share of the labels beyond which predictions made elsewhere look as if their model had trained on the rows
BETWEEN = 0.9  # share of a score's variance between classes beyond which it is little more than the class


def of_table(
    table,
    *,
    text,
    label,
    text_pair=None,
    score=None,
    budget=300.0,
    encoder="minilm",
    max_length=128,
    seed=0,
    keep=False,
    progress=False,
    start=None,
) -> Audit:
    """Audit of the rows of a table that have a text and a label.

    Parameters
    ----------
    table : Table
        As :func:`datadiet.tables.read` gives it.
    text, text_pair, label : str
        Columns of the text, of the second text of a pair, and of the class.
    score : str, optional
        A name of ``scores.SCORES``; the one that finds most planted flips where not given.
    budget : float
        Seconds. Frozen features come first; fine-tuned models join where they fit, if need be the encoder's middle layers alone.
    encoder : str
        See :func:`datadiet.nets.encoders.classifier`.
    max_length : int
        Tokens that are read of a text.
    keep : bool or Kept
        Keep finished steps in the live store until the audit is through, so that a call after a killed one goes on.
    start : float, optional
        Reading of ``time.monotonic()`` from which the budget runs; that of this call where not given.

    Raises
    ------
    InputError
        A missing column, one class, fewer than ten rows, an unknown score or encoder.
    """
    from datadiet.audit.trained import as_task

    clock = Clock(budget, start)
    task, _, rows = as_task(table, text, label, text_pair)
    known(score)
    if isinstance(max_length, bool) or not isinstance(max_length, int) or not 8 <= max_length <= 8192:
        raise InputError(f"datadiet score: a max length of {max_length!r} tokens; give a whole number from 8 to 8192.")
    if len(rows) < 10:
        few = "ten are the fewest that can be told apart by models that did not see them"
        raise InputError(f"datadiet score: {len(rows)} rows have a text and a label; {few}.")
    inputs = task.train.inputs
    steps = keeping.steps(keep, ["texts", task.checksum], encoder=encoder, max_length=max_length, seed=seed)
    features = frozen.of_texts(
        inputs["text"], inputs.get("text_pair"), encoder=encoder, max_length=max_length, clock=clock, kept=steps,
        progress=progress,
    )  # fmt: skip
    said = list(features.notes)
    if features.cut:
        said.append(
            f"{features.cut} text{'s are' if features.cut > 1 else ' is'} longer than {max_length} tokens and read up to there; "
            "--max-length changes it."
        )

    def tune(**asked):
        return tuned.rounds(task, clock, encoder=encoder, max_length=max_length, seed=seed, kept=steps, **asked)

    how = {"text": text, "label": label, "encoder": encoder, "max_length": max_length, "digest": task.checksum}
    if text_pair:
        how["text_pair"] = text_pair
    return examine(
        features.matrices,
        task.train.labels,
        task.label_names,
        rows,
        clock=clock,
        score=score,
        seed=seed,
        tune=tune,
        said=said,
        how=how,
        kept=steps,
    )


def known(score) -> None:
    """Refuse the name of a score that probabilities do not have."""
    if score is not None and score not in scores.SCORES:
        raise InputError(f"datadiet score: unknown score {score!r}; choose one of {', '.join(scores.SCORES)}.")


def examine(
    matrices: dict, given, names, rows, *, clock=None, score=None, seed=0, tune=None, said=(), how=None, kept=None
) -> Audit:
    """Audit of labels by features that no label has touched: a regression on each matrix, out of fold, pooled.

    Parameters
    ----------
    matrices : dict of arrays [n, d]
        Features by name.
    given : int array [n];  names : tuple of str;  rows : int array [n]
        As in :class:`Audit`.
    clock : Clock, optional
        Where time runs short, members are left out, named in the warnings; one is always made.
    tune : callable, optional
        ``tune(spare=, least=, said=)`` gives rounds of fine-tuned models, as :func:`datadiet.audit.tuned.rounds` does.
    kept : Kept, optional
        Where finished steps are kept, and looked for; they go when the audit is through, but not where it was stopped by hand.
    """
    known(score)
    kept = kept or Kept()
    clock, given, said = clock or Clock(float("inf")), np.asarray(given), list(said)
    if not matrices:
        raise InputError("datadiet score: the texts share no word, and the encoder was not run; give more time (--budget).")
    k, rng = len(names), np.random.default_rng(seed)
    fold = deal(given, min(members.FOLDS, len(given)), rng)
    start = clock.spent
    made, skipped, needed = _made(matrices, given, k, fold, clock, seed, kept)
    if skipped:
        said.append(f"For want of time these features were left out: {', '.join(skipped)}. Give --budget {rounded(needed)}.")
    # What the copies will take stays in hand: all of them, and the fewest.
    rounds, spare, least = [], COPIES[1] * (clock.spent - start), COPIES[0] * sum(each.seconds for each in made.values())
    try:
        if tune is not None and clock.left > least:
            for each in tune(spare=spare, least=least, said=said):
                rounds.append(each)
    except KeyboardInterrupt:
        kept.stopped = True
        said.append(
            "Stopped by hand while models were fine-tuned: the scores are of what was finished. The same call goes on from there."
        )
    # Fine-tuned models are not trained again on a copy: those that predict a planted row saw none of the other flips.
    beside = {f"fine-tuned {number}": each["probs"] for number, each in enumerate(rounds, 1)}
    probs, weights = pool.pooled([*(each.probs for each in made.values()), *beside.values()], given, fold)

    def pooled(labels, anew, name: str) -> np.ndarray:
        """The pool on other labels or other folds, with the strengths that were chosen."""
        others = []
        for member, each in made.items():

            def fitted(each=each) -> dict:
                return {"probs": members.held_out(each.matrix, labels, k, each.strength, anew, each.most, seed)}

            others.append(kept.step(f"{name} of {member} {each.strength} {each.most}", fitted)["probs"])
        return pool.pooled([*others, *beside.values()], labels, anew)[0]

    def copies(most: int, took: float) -> float:
        """Copies with planted flips, `most` at most and one at least; the seconds that the last one took."""
        while len(trials) < most and (not trials or clock.left > 2 * took):
            before, draw = clock.spent, np.random.default_rng([seed, len(trials) + 1])
            copy, where = planted.plant(given, k, draw)
            anew = deal(copy, min(members.FOLDS, len(copy)), draw)
            trials.append(planted.Trial(copy, where, pooled(copy, anew, f"copy {len(trials)}")))
            took = clock.spent - before
        return took

    trials, drawn = [], [probs]
    took = copies(COPIES[0], 0.0)
    while len(drawn) < REPEATS and clock.left > 2 * took:
        before = clock.spent
        anew = deal(given, min(members.FOLDS, len(given)), np.random.default_rng([seed, REPEATED, len(drawn)]))
        drawn.append(pooled(given, anew, f"repeat {len(drawn)}"))
        took = max(took, clock.spent - before)
    probs = pool.product(np.stack([pool.softened(each) for each in drawn]), np.full(len(drawn), 1 / len(drawn)))
    if len(given) < LARGE:
        copies(COPIES[1], took)
    worth = dict(zip([*made, *beside], np.round(weights, 3).tolist(), strict=True))
    models = len(np.unique(fold)) * len(made) * len(drawn) + sum(each["models"] for each in rounds)
    how = {"seed": seed, **(how or {}), "members": worth, "copies": len(trials), "repeats": len(drawn)}
    how |= {"budget": clock.budget, "models": models}
    if rounds:
        how["epochs"] = rounds[0]["epochs"]
    said += kept.said()
    if not kept.until_written:
        kept.forget()
    return concluded(probs, given, names, rows, trials, score=score, said=said, how=how, clock=clock)


@dataclass(frozen=True)
class Member:
    """A regression of the pool: its features, penalty, most rows of a fit, probabilities out of fold, and their seconds."""

    matrix: np.ndarray
    strength: float
    most: int
    probs: np.ndarray
    seconds: float


def _made(matrices: dict, given, k: int, fold, clock: Clock, seed: int, kept) -> tuple[dict, list, float]:
    """Members by name, as many as fit into their share of the time left; the names of those that do not, one always does; and
    the budget in seconds with which all would have fitted."""
    made, skipped, longest = {}, [], 0.0
    start, share = clock.spent, clock.left / PASSES
    for name in matrices:
        before = clock.spent
        if made and before - start + longest > share:
            skipped.append(name)
            continue
        matrix = frozen.components(matrices[name])

        def fitted(matrix=matrix, before=before) -> dict:
            strength = members.chosen(matrix, given, k, seed)
            row = (clock.spent - before) / len(members.GRID) / min(len(given), members.TRIAL)  # seconds, over all folds
            own = share / len(matrices)
            most = len(given) if row * len(given) < own else max(members.TRIAL, int(own / row))
            begun, probs = clock.spent, members.held_out(matrix, given, k, strength, fold, most, seed)
            took = clock.spent - begun
            return {"strength": np.array(strength), "most": np.array(most), "probs": probs, "seconds": np.array(took)}

        found = kept.step(f"member {name} in {clock.budget:g} s", fitted)  # with more time it may see more rows
        made[name] = Member(matrix, float(found["strength"]), int(found["most"]), found["probs"], float(found["seconds"]))
        longest = max(longest, clock.spent - before)
    pass_of_all = clock.spent - start + longest * len(skipped)
    return made, skipped, max(start + PASSES * pass_of_all, 1.2 * clock.budget)


def of_probs(probs, given, names, rows, *, score=None, seed=0, said=(), how=None) -> Audit:
    """Audit of labels by predictions made elsewhere, by models that did not train on the rows they predict.

    No model is fitted: planted flips are ranked by the probabilities as they are. Where the models did train on the rows, all
    numbers are too good, and nothing here can notice it.

    Parameters
    ----------
    probs : array [n, K]
        Probabilities, rows that sum to 1; columns in the order of `names`.
    """
    known(score)
    probs, given = np.asarray(probs), np.asarray(given)
    scores.el2n(probs, given)  # refuses what are no probabilities
    agreed, said = (probs.argmax(1) == given).mean(), list(said)
    others = 1 - np.bincount(given).max() / len(given)  # where one class is nearly all, so many agree with any model
    if 1 - agreed < (1 - KNOWN) * min(1, 2 * others) and len(given) >= 100:
        said.append(
            f"The predictions agree with {agreed:.1%} of the labels, as those of a model do that trained on these rows. Where it "
            "did, the check and the number of wrong labels mean nothing: predict each row by a model that did not see it."
        )
    clock, trials = Clock(float("inf")), []
    for number in range(COPIES[len(given) < LARGE]):
        copy, where = planted.plant(given, len(names), np.random.default_rng([seed, number + 1]))
        trials.append(planted.Trial(copy, where, probs))
    return concluded(
        probs,
        given,
        names,
        rows,
        trials,
        score=score,
        said=said,
        clock=clock,
        how={"seed": seed, "models": 0, "copies": len(trials)} | (how or {}),
    )


def concluded(probs, given, names, rows, trials, *, score, said, how, clock) -> Audit:
    """The audit, once probabilities and trials are there: scores compared, wrong labels counted, warnings written."""
    check = planted.compared(trials)
    used = score or (check["score"][0] if len(check) else "el2n")
    found = {name: each(probs, given) for name, each in scores.SCORES.items()}
    n = len(given)
    counted = doubt.of_labels(probs, given)
    accuracy = float((probs.argmax(1) == given).mean())
    counts = np.bincount(given, minlength=len(names))
    majority = float(counts.max() / n)
    said = [*said, *_warnings(probs, given, counts, found[used], accuracy, majority, check, used)]
    how = {**how, "seconds": round(clock.spent, 1), "version": __version__}
    return Audit(
        names=tuple(names),
        rows=np.asarray(rows),
        given=given,
        probs=probs,
        scores=found,
        used=used,
        wrong=counted.wrong,
        count=tuple(each * n for each in counted.share),
        check=check,
        planted=int(trials[0].planted.sum()),
        accuracy=accuracy,
        majority=majority,
        warnings=tuple(said),
        how=how,
    )


def _warnings(probs, given, counts, values, accuracy, majority, check, used) -> list[str]:
    """Sentences on what makes the scores worth less than they look."""
    out = []
    if not learned(accuracy, majority):
        out.append(
            f"The models have not learned: out of fold they are right in {accuracy:.0%} of the rows, and always saying the "
            f"largest class would be in {majority:.0%}. The scores say little more than which class a row has."
        )
    means = np.bincount(given, values, minlength=len(counts)) / np.maximum(counts, 1)
    if np.ptp(values) > 1e-9 and ((means[given] - values.mean()) ** 2).mean() / values.var() > BETWEEN:
        out.append(
            "The score is little more than the class: nearly all of its variance lies between classes. Prune with "
            "--balanced, or the shares of the classes will move."
        )
    row = check[check["score"] == used]
    if len(row) and row["low"].iloc[0] <= 0.5:
        out.append(
            f"Planted flips were not found better than at random (area under the curve {row['auc'].iloc[0]:.2f}): the "
            "ranking is no guide to wrong labels here."
        )
    return out


def columns(audit: Audit, length: int) -> dict[str, list]:
    """New columns of a table of `length` rows: the score used, the probability that the label is wrong, the class that the
    models would give, and the number of models; None where a row was not scored."""
    out = {
        f"datadiet_{audit.used}": audit.scores[audit.used].tolist(),
        "datadiet_wrong": audit.wrong.tolist(),
        "datadiet_class": [audit.names[c] for c in audit.probs.argmax(1)],
        "datadiet_runs": [audit.how["models"]] * len(audit.given),
    }
    whole = {name: [None] * length for name in out}
    for name, values in out.items():
        for row, value in zip(audit.rows.tolist(), values, strict=True):
            whole[name][row] = value
    return whole
