"""Fine-tuned models as members of the pool: an encoder trained on two thirds of the rows predicts the last third, three times.

Such a round joins where the budget has room for it, and another one, with folds of its own, as long as there is room for more;
the pool's weights say what each was worth.
"""

import numpy as np

from datadiet.audit import pace
from datadiet.audit.clock import Clock
from datadiet.audit.folds import deal
from datadiet.audit.kept import Kept

FOLDS = 3
EPOCHS = (2, 5)  # at least, at most
ROUNDS = 3  # at most
RATE = 1e-4
PLANNED = 0.8  # share of the time there is that a round is planned for; the rest is for training that turns out slower
SCORING = 1 / 6  # of the time of an epoch over two thirds of the rows, that a scoring pass over the last third takes


def rounds(task, clock: Clock, *, encoder: str, max_length: int, seed: int, spare: float, kept: Kept):
    """Rounds of fine-tuned models, as many as fit before the last `spare` seconds; none where two epochs of one do not.

    Parameters
    ----------
    task : Task
        Every row a training example, as :func:`datadiet.audit.trained.as_task` makes it.
    kept : Kept
        Where folds are kept that were trained.

    Yields
    ------
    dict
        ``probs`` [n, K], out of fold, and ``epochs``, those of the fold that had fewest.
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
        made = _round(config, task, number, speed, clock, spare, seed, kept)
        if made is None:
            return
        yield made


class Speed:
    """Seconds of an epoch over two thirds of the rows, and its part of the scoring pass: by a few updates, then by those made."""

    def __init__(self, config: dict, task, seed: int):
        self.config, self.task, self.seed, self.epoch = config, task, seed, None

    def of_an_epoch(self) -> float:
        from datadiet.training import loop

        if self.epoch is None:
            updates = loop.updates_per_epoch(len(self.task.train) * (FOLDS - 1) // FOLDS, self.config["batch_size"])
            self.epoch = pace.of_updates(self.config, self.task, self.seed) * updates * (1 + SCORING)
        return self.epoch


def _round(config: dict, task, number: int, speed: Speed, clock: Clock, spare: float, seed: int, kept: Kept) -> dict | None:
    """Probabilities of all rows by models that did not see them; None where the time does not suffice."""
    fold = deal(task.train.labels, FOLDS, np.random.default_rng([seed, number] if number else seed))
    probs, most = np.empty((len(task.train), task.n_classes)), EPOCHS[1]
    for held in range(FOLDS):
        # A fold of the most epochs serves a call with any budget; one of fewer is decided anew where there is more time.
        whole, name = f"round {number} fold {held}", f"round {number} fold {held} within {clock.budget:g} s"
        found = kept.found(whole) or kept.found(name)
        if found is None:
            left = (clock.left - spare) * (PLANNED if held == 0 else 1)
            most = min(most, int(left / (FOLDS - held) / speed.of_an_epoch()))
            if most < EPOCHS[0]:
                return None
            before = clock.spent
            found = _fold(config, task, most, fold, held, seed + number) | {"epochs": np.array(most)}
            speed.epoch = (clock.spent - before) / most
            kept.put(whole if most == EPOCHS[1] else name, found)
        most = int(found["epochs"])
        probs[fold == held] = found["probs"]
    return {"probs": probs, "epochs": most}


def _fold(config: dict, task, epochs: int, fold: np.ndarray, held: int, seed: int) -> dict:
    """Probabilities of the rows of one fold, by an encoder trained on the others; the same whichever folds went before."""
    from scipy.special import softmax

    from datadiet.nets import device
    from datadiet.training import kinds, loop

    kept, rows, rng = np.flatnonzero(fold != held), np.flatnonzero(fold == held), np.random.default_rng([seed, held])
    model = loop.Loop(config | {"seed": seed}, task, epochs * loop.updates_per_epoch(len(kept), config["batch_size"]))
    train = model.problem.splits["train"]
    with device.seeded(model.device, loop.DROPOUT_STREAM + seed):
        for _ in range(epochs):
            for _ in model.updates(train.shuffled(kept, config["batch_size"], rng)):
                pass
    return {"probs": softmax(kinds.predict(model.model, train, rows)["logits"][rows].astype(float), 1)}
