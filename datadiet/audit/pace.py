"""How long training takes here, from a few updates: what the audits plan by."""

import time

import numpy as np

TIMED = 4  # batches whose updates are timed
TIMES = 2  # that each is timed, the shorter time counts: another process may take the processor for a moment


def of_updates(config: dict, task, seed: int = 0, problem=None) -> float:
    """Seconds of an update on the training rows of `task`, on average over batches from short texts to long ones.

    ``problem``: what :class:`datadiet.training.loop.Loop` trains, if not what it would make of the task.

    The batches lie at equal distances in the order of the tokens that they hold, so that few of them stand for all; the first
    update pays for what is made once, and is not counted.
    """
    from datadiet.nets import device
    from datadiet.training import loop

    trial = loop.Loop(config, task, 1 + TIMES * TIMED, problem)
    train = trial.problem.splits["train"]
    batches = train.shuffled(np.arange(len(task.train)), config["batch_size"], np.random.default_rng(seed))
    first, *timed = spread([(int(train.lengths[batch].max()) * len(batch), batch) for batch in batches])
    took, before = [], time.monotonic()
    with device.seeded(trial.device, seed):
        for _ in trial.updates([first, *TIMES * timed]):
            device.wait(trial.device)
            took.append(time.monotonic() - before)
            before = time.monotonic()
    return float(np.reshape(took[1:], (TIMES, -1)).min(0).mean())


def spread(sized: list) -> list:
    """One batch to begin with, and :data:`TIMED` at equal distances in the order of their sizes; `sized` holds (size, batch).

    >>> spread([(size, str(size)) for size in (8, 2, 4, 6)])
    ['6', '2', '4', '6', '8']
    >>> spread([(8, "only")])
    ['only', 'only', 'only', 'only', 'only']
    """
    order = [batch for _, batch in sorted(sized, key=lambda pair: pair[0])]
    picked = [order[int((k + 0.5) / TIMED * len(order))] for k in range(TIMED)]
    return [picked[TIMED // 2], *picked]
