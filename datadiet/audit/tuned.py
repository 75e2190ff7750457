"""Fine-tuned models as a member of the pool: an encoder trained on two thirds of the rows predicts the last third, three times.

It joins where the budget has room for it; the pool's weights say what it was worth.
"""

import numpy as np

from datadiet.audit.clock import Clock
from datadiet.audit.folds import deal
from datadiet.audit.kept import Kept

FOLDS = 3
EPOCHS = (2, 5)  # at least, at most
RATE = 1e-4


def out_of_fold(task, clock: Clock, *, encoder: str, max_length: int, seed: int, share: float, kept: Kept):
    """(probabilities [n, K], epochs, models), or None where two epochs do not fit into `share` of the time left.

    Parameters
    ----------
    task : Task
        Every row a training example, as :func:`datadiet.audit.trained.as_task` makes it.
    kept : Kept
        Where folds are kept that were trained, and the number of epochs that they were trained for.
    """
    from datadiet import runs
    from datadiet.nets import device

    n, place = len(task.train), device.best()
    config = runs.config(
        task=task.name,
        encoder="minilm-mean" if encoder == "minilm" else encoder,
        epochs=EPOCHS[1],
        quick=True,
        learning_rate=RATE,
        max_length=max_length,
        batch_size=16,
        seed=seed,
        device=device.name_of(place),
    )
    fold = deal(task.train.labels, FOLDS, np.random.default_rng(seed))
    within = f"epochs in {clock.budget:g} s"  # a call with more time goes on from there, and decides anew
    epochs = int(kept.step(within, lambda: {"epochs": np.array(_that_fit(config, task, clock.left * share, seed))})["epochs"])
    if epochs < EPOCHS[0]:
        return None
    out = np.empty((n, task.n_classes))
    for held in range(FOLDS):
        found = kept.step(f"fold {held} of {epochs} epochs", lambda held=held: _fold(config, task, epochs, fold, held, seed))
        out[fold == held] = found["probs"]
    return out, epochs, FOLDS


def _that_fit(config: dict, task, limit: float, seed: int) -> int:
    """Epochs, at most the greatest of :data:`EPOCHS`, of all folds that fit into `limit` seconds, going by a few updates."""
    from datadiet.audit import pace
    from datadiet.training import loop

    n, update = len(task.train), pace.of_updates(config, task, seed)
    updates = loop.updates_per_epoch(n * (FOLDS - 1) // FOLDS, 16)
    # A scoring pass over a fold costs about a third of training on it.
    return int(min(EPOCHS[1], limit / (FOLDS * update * (updates + updates / 6))))


def _fold(config: dict, task, epochs: int, fold: np.ndarray, held: int, seed: int) -> dict:
    """Probabilities of the rows of one fold, by an encoder trained on the others; the same whichever folds went before."""
    from scipy.special import softmax

    from datadiet.nets import device
    from datadiet.training import kinds, loop

    kept, rows, rng = np.flatnonzero(fold != held), np.flatnonzero(fold == held), np.random.default_rng([seed, held])
    model = loop.Loop(config, task, epochs * loop.updates_per_epoch(len(kept), 16))
    train = model.problem.splits["train"]
    with device.seeded(model.device, loop.DROPOUT_STREAM + seed):
        for _ in range(epochs):
            for _ in model.updates(train.shuffled(kept, 16, rng)):
                pass
    return {"probs": softmax(kinds.predict(model.model, train, rows)["logits"][rows].astype(float), 1)}
