"""Fine-tuned models as members of the pool: an encoder trained on two thirds of the rows predicts the last third, three times.

Such a round joins where the budget has room for it. More time goes into more rounds, each with folds of its own, before it goes
into more epochs. The pool's weights say what each was worth. Where there is no room for one round, two models share the rows; and
where there is none for these, only the middle layers are trained (:mod:`datadiet.training.middle`), in a third of the time.
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
MIDDLE = {"learning_rate": 5e-4, "batch_size": 32}  # of the middle layers alone
PLANNED = 0.9  # share of the time there is that a round is planned for; the rest is for training that turns out slower
THIRDS, HOPELESS = 3, 1.5  # times as long the whole encoder takes as its middle layers: as a rule, and surely
SCORING = 1 / 3  # of the time of training on a row, that predicting it takes
TIMINGS, TIMING = 5, 0.1  # of updates, where the first left no room: at most, and their share of the time there is


def rounds(
    task, clock: Clock, *, encoder: str, max_length: int, seed: int, spare: float, least: float, kept: Kept, said: list
):
    """Rounds of fine-tuned models, as many as fit before the last `spare` seconds.

    Where two epochs of the whole encoder on half of the rows do not fit, its middle layers are trained; where these do not fit
    either, there is no round.

    Parameters
    ----------
    task : Task
        Every row a training example, as :func:`datadiet.audit.trained.as_task` makes it.
    spare, least : float
        Seconds that rounds leave: of whole encoders, and of middle layers.
    kept : Kept
        Where folds are kept that were trained.
    said : list of str
        Gets the budget that a first round of whole encoders needs, where there was no room for one.

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
    part = None if device.is_gpu(config["device"]) else _middle(config | MIDDLE, task, least)
    whole = Way(config, task, spare, part)
    ways = [(way, folds) for way in (whole, part) if way for folds in FOLDS]
    for number in range(ROUNDS):
        for way, folds in ways:
            made = _round(way, number, folds, clock, seed, kept)
            if made is not None:
                break
        if not number and (made is None or way is part):
            needed = clock.spent + spare + whole.of_a_round(EPOCHS[0], FOLDS[0]) / PLANNED
            what = "no model was fine-tuned" if made is None else "only the middle layers of the encoder were fine-tuned"
            said.append(f"For want of time {what}; --budget {rounded(needed)} has room for {'it' if made is None else 'all'}.")
        if made is None:
            return
        ways = [(way, FOLDS[0])]
        yield made


class Way:
    """A way to fine-tune, here the whole encoder; and how long it takes here.

    ``epoch``: seconds of an epoch over all rows, by a few updates, then by the models that were trained. ``spare``: seconds that
    its rounds leave. ``faster``: another way, which is timed first, so that no time goes into timing this one in vain.
    """

    prefix = ""  # of the names under which its folds are kept
    beginning = 0.0  # seconds that :meth:`begin` takes

    def __init__(self, config: dict, task, spare: float, faster: "Middle | None" = None):
        self.config, self.task, self.spare, self.faster, self.epoch = config, task, spare, faster, np.inf

    def problem(self, seed: int):
        """The task made ready for a loop that draws its head by `seed`."""
        from datadiet.training import kinds

        return kinds.prepare(self.config | {"seed": seed}, self.task, self.config["device"])

    def epochs(self, seconds: float, folds: int) -> float:
        """Epochs over the rows outside of a fold, before those in it are predicted, that fit into the time."""
        return (seconds / self.epoch * folds - SCORING) / (folds - 1)

    def of_a_round(self, epochs: float, folds: int) -> float:
        return self.epoch * (epochs * (folds - 1) + SCORING)

    def of_updates(self) -> None:
        """Time a few updates; the shortest time counts, as another process may have had the processor."""
        from datadiet.training import loop

        updates = loop.updates_per_epoch(len(self.task.train), self.config["batch_size"])
        self.epoch = min(self.epoch, pace.of_updates(self.config, self.task, problem=self.problem(self.config["seed"])) * updates)

    def of_a_model(self, seconds: float, epochs: float, folds: int) -> None:
        """Correct the seconds of an epoch by those that a model took."""
        self.epoch *= seconds * folds / Way.of_a_round(self, epochs, folds)

    def timed(self, clock: Clock, enough) -> None:
        """Time updates until ``enough()``, or until another time would take more than a tenth of the time in all."""
        if self.faster:
            self.faster.timed(clock, lambda: True)
            if self.faster.of_a_round(EPOCHS[0], FOLDS[-1]) * HOPELESS > (clock.left - self.spare) * PLANNED:
                self.epoch = self.faster.epoch * THIRDS
                return
        began, left = clock.spent, clock.left
        for _ in range(TIMINGS):
            before = clock.spent
            self.of_updates()
            if enough() or 2 * clock.spent - before - began > TIMING * left:
                return

    def begin(self) -> None:
        """What a first model needs, beside its training."""


class Middle(Way):
    """The middle layers of the encoder alone, on the output of those below, which `examples` have room for."""

    prefix = "middle layers, "

    def __init__(self, config: dict, task, spare: float, examples):
        super().__init__(config, task, spare)
        self.examples, self.stored = examples, False

    def problem(self, seed: int):
        from datadiet.training import middle

        return middle.of(super().problem(seed), self.examples)

    def of_a_round(self, epochs: float, folds: int) -> float:
        return super().of_a_round(epochs, folds) + self.beginning

    @property
    def beginning(self) -> float:
        """Seconds that the layers below take for all rows, once; they are as many as those that are trained."""
        return 0.0 if self.stored else SCORING * self.epoch

    def begin(self) -> None:
        from datadiet.training import middle

        if not self.stored:
            middle.fill(super().problem(self.config["seed"]), self.examples)
            self.stored = True


def _middle(config: dict, task, spare: float) -> Middle | None:
    """The middle layers of the encoder; None where it has none that can be trained so."""
    from datadiet.training import kinds, middle

    examples = middle.blank(kinds.prepare(config, task, config["device"]))
    return None if examples is None else Middle(config, task, spare, examples)


def _round(way: Way, number: int, folds: int, clock: Clock, seed: int, kept: Kept):
    """Probabilities of all rows by models that did not see them; None where the time does not suffice."""
    task = way.task
    fold = deal(task.train.labels, folds, np.random.default_rng([seed, number] if number else seed))
    probs, most = np.empty((len(task.train), task.n_classes)), float(EPOCHS[1])
    for held in range(folds):
        # A model of the most epochs serves a call with any budget; one of fewer is decided anew where there is more time.
        whole = f"{way.prefix}round {number} fold {held} of {folds}"
        name = f"{whole} within {clock.budget:g} s"
        found = kept.found(whole) or kept.found(name)
        if found is None:

            def room(held=held) -> float:
                left = (clock.left - way.spare - way.beginning) * (PLANNED if held == 0 else 1)
                return way.epochs(left / (folds - held), folds)

            if not np.isfinite(way.epoch):
                way.timed(clock, lambda: room() >= EPOCHS[0])
            shared = min(ROUNDS - number, int(room() / EPOCHS[0])) if held == 0 else 1  # rounds that there is time for
            most = min(most, room() / max(1, shared))
            if most < EPOCHS[0]:
                return None
            way.begin()
            before = clock.spent
            found = _fold(way, most, fold, held, seed + number) | {"epochs": np.array(most)}
            way.of_a_model(clock.spent - before, most, folds)
            kept.put(whole if most == EPOCHS[1] else name, found)
        most = float(found["epochs"])
        probs[fold == held] = found["probs"]
    return {"probs": probs, "epochs": round(most, 1), "models": folds}


def _fold(way: Way, epochs: float, fold: np.ndarray, held: int, seed: int) -> dict:
    """Probabilities of the rows of one fold, by an encoder trained on the others; the same whichever folds went before."""
    from scipy.special import softmax

    from datadiet.nets import device
    from datadiet.training import kinds, loop

    size = way.config["batch_size"]
    kept, rows, rng = np.flatnonzero(fold != held), np.flatnonzero(fold == held), np.random.default_rng([seed, held])
    updates = max(1, int(epochs * loop.updates_per_epoch(len(kept), size)))
    model = loop.Loop(way.config | {"seed": seed}, way.task, updates, way.problem(seed))
    train = model.problem.splits["train"]
    with device.seeded(model.device, loop.DROPOUT_STREAM + seed):
        while updates:
            batches = train.shuffled(kept, size, rng)[:updates]
            for _ in model.updates(batches):
                pass
            updates -= len(batches)
    return {"probs": softmax(kinds.predict(model.model, train, rows)["logits"][rows].astype(float), 1)}
