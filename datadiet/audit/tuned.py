"""Fine-tuned models as members of the pool: an encoder trained on two thirds of the rows predicts the last third, three times.

Such a round joins where the budget has room for it. More time goes into more rounds, each with folds of its own, before it goes
into more epochs. The pool's weights say what each was worth. Where there is no room for one round, two models share the rows.
"""

import numpy as np

from datadiet.audit import pace
from datadiet.audit.clock import Clock, rounded
from datadiet.audit.folds import deal
from datadiet.audit.kept import Kept

FOLDS = (3, 2)  # of a round; the second where the first does not fit
EPOCHS = (2, 3)  # at least, at most; the last one may be a part
ROUNDS = 5  # at most
RATE = 1e-4
PLANNED = 0.9  # share of the time there is that a round is planned for; the rest is for training that turns out slower
SCORING = 1 / 3  # of the time of training on a row, that predicting it takes
TIMINGS, TIMING = 5, 0.1  # of updates, where the first left no room: at most, and their share of the time there is


def rounds(task, clock: Clock, *, encoder: str, max_length: int, seed: int, spare: float, kept: Kept, said: list):
    """Rounds of fine-tuned models, as many as fit before the last `spare` seconds; none where two epochs on half the rows do not.

    Parameters
    ----------
    task : Task
        Every row a training example, as :func:`datadiet.audit.trained.as_task` makes it.
    kept : Kept
        Where folds are kept that were trained.
    said : list of str
        Gets the budget that a first round needs, where there was no room for one.

    Yields
    ------
    dict
        ``probs`` [n, K], out of fold, ``models``, and ``epochs``, those of the model that had fewest.
    """
    from datadiet import runs
    from datadiet.nets import device

    config = runs.config(
        task=task.name,
        encoder="minilm-mean" if encoder == "minilm" else encoder,
        epochs=EPOCHS[1],
        quick=True,
        learning_rate=RATE,
        max_length=max_length,
        batch_size=16,
        seed=seed,
        device=device.name_of(device.best()),
    )
    speed = Speed(config, task, seed)
    for number in range(ROUNDS):
        tried = (_round(config, task, number, folds, speed, clock, spare, seed, kept) for folds in FOLDS[: 1 if number else None])
        made = next((each for each in tried if each is not None), None)
        if made is None:
            if not number:
                needed = clock.spent + spare + speed.of_a_round(EPOCHS[0], FOLDS[0]) / PLANNED
                said.append(f"For want of time no model was fine-tuned; --budget {rounded(needed)} has room for it.")
            return
        yield made


class Speed:
    """Seconds of an epoch over all rows: by a few updates, then by the models that were trained."""

    def __init__(self, config: dict, task, seed: int):
        self.config, self.task, self.seed, self.epoch = config, task, seed, np.inf

    def epochs(self, seconds: float, folds: int) -> float:
        """Epochs over the rows outside of a fold, before those in it are predicted, that fit into the time."""
        return (seconds / self.epoch * folds - SCORING) / (folds - 1)

    def of_a_round(self, epochs: float, folds: int) -> float:
        return self.epoch * (epochs * (folds - 1) + SCORING)

    def of_updates(self) -> None:
        """Time a few updates; the shortest time counts, as another process may have had the processor."""
        from datadiet.training import loop

        updates = loop.updates_per_epoch(len(self.task.train), self.config["batch_size"])
        self.epoch = min(self.epoch, pace.of_updates(self.config, self.task, self.seed) * updates)

    def of_a_model(self, seconds: float, epochs: float, folds: int) -> None:
        self.epoch *= seconds * folds / self.of_a_round(epochs, folds)

    def timed(self, clock: Clock, enough) -> None:
        """Time updates until ``enough()``, or until another time would take more than a tenth of the time in all."""
        began, left = clock.spent, clock.left
        for _ in range(TIMINGS):
            before = clock.spent
            self.of_updates()
            if enough() or 2 * clock.spent - before - began > TIMING * left:
                return


def _round(config: dict, task, number: int, folds: int, speed: Speed, clock: Clock, spare: float, seed: int, kept: Kept):
    """Probabilities of all rows by models that did not see them; None where the time does not suffice."""
    fold = deal(task.train.labels, folds, np.random.default_rng([seed, number] if number else seed))
    probs, most = np.empty((len(task.train), task.n_classes)), float(EPOCHS[1])
    for held in range(folds):
        # A model of the most epochs serves a call with any budget; one of fewer is decided anew where there is more time.
        whole = f"round {number} fold {held} of {folds}"
        name = f"{whole} within {clock.budget:g} s"
        found = kept.found(whole) or kept.found(name)
        if found is None:

            def room(held=held) -> float:
                left = (clock.left - spare) * (PLANNED if held == 0 else 1)
                return speed.epochs(left / (folds - held), folds)

            if not np.isfinite(speed.epoch):
                speed.timed(clock, lambda: room() >= EPOCHS[0])
            shared = min(ROUNDS - number, int(room() / EPOCHS[0])) if held == 0 else 1  # rounds that there is time for
            most = min(most, room() / max(1, shared))
            if most < EPOCHS[0]:
                return None
            before = clock.spent
            found = _fold(config, task, most, fold, held, seed + number) | {"epochs": np.array(most)}
            speed.of_a_model(clock.spent - before, most, folds)
            kept.put(whole if most == EPOCHS[1] else name, found)
        most = float(found["epochs"])
        probs[fold == held] = found["probs"]
    return {"probs": probs, "epochs": round(most, 1), "models": folds}


def _fold(config: dict, task, epochs: float, fold: np.ndarray, held: int, seed: int) -> dict:
    """Probabilities of the rows of one fold, by an encoder trained on the others; the same whichever folds went before."""
    from scipy.special import softmax

    from datadiet.nets import device
    from datadiet.training import kinds, loop

    kept, rows, rng = np.flatnonzero(fold != held), np.flatnonzero(fold == held), np.random.default_rng([seed, held])
    updates = max(1, int(epochs * loop.updates_per_epoch(len(kept), config["batch_size"])))
    model = loop.Loop(config | {"seed": seed}, task, updates)
    train = model.problem.splits["train"]
    with device.seeded(model.device, loop.DROPOUT_STREAM + seed):
        while updates:
            batches = train.shuffled(kept, config["batch_size"], rng)[:updates]
            for _ in model.updates(batches):
                pass
            updates -= len(batches)
    return {"probs": softmax(kinds.predict(model.model, train, rows)["logits"][rows].astype(float), 1)}
