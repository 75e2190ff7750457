"""A run that branches: at named moments of training a second future begins, from the same weights but with other shuffles.

    fitted = fit(config, load("digits"), el2n)
    fitted.metrics["errors"]["hardest"]     # [S, A]: training error of the hardest tenth on the line between two futures
    fitted.metrics["velocity"]["hardest"]   # [epochs]: how far the kernel of the hardest block turned in each epoch

The run itself is that of :func:`datadiet.training.loop.fit` on the full data, to the bit; it is one of the two futures of every
spawn point. The other goes on from a copy of its weights, its optimiser and its learning rate to the same last update. Spawning
is that of Fort et al. (2020), the line between futures that of Frankle et al. (2020).
"""

import numpy as np
from tqdm import tqdm

from datadiet.data import Task
from datadiet.errors import InputError
from datadiet.gradnorm import tangent
from datadiet.nets import device
from datadiet.training import kinds, landscape
from datadiet.training.loop import DROPOUT_STREAM, Fit, Loop, judge, step_of, updates_per_epoch


def fit(config: dict, task: Task, values: np.ndarray, progress: bool = False) -> Fit:
    """Train on everything, branch at the spawn points, and measure kernels and barriers of groups of examples.

    Parameters
    ----------
    config : dict
        A run's config whose ``branch`` is of :func:`datadiet.training.landscape.settings`.
    task : Task
        Of kind "image".
    values : array [N]
        Scores that rank the training examples, higher = harder: of other runs, so that none is judged by its own start.
    progress : bool
        Show a bar over the updates.

    Returns
    -------
    Fit
        ``metrics`` of :func:`datadiet.training.loop.fit` (updates and examples of all futures together; accuracies of the run
        itself) and ``errors``: group -> training errors [S, A], for the S spawn points at A places on the line from the run (0)
        to its other future (1), groups "hardest", "middle", "easiest", "random" and "all"; ``velocity``: block -> how far its
        kernel turned in each epoch [epochs], see :func:`datadiet.training.landscape.velocity`; ``spawn_epochs`` [S];
        ``ranked_epoch``, the epoch that the scores were taken at. ``arrays``: ids and labels.

    Raises
    ------
    InputError
        A task that is not of images; spawn points that do not rise, or lie at the end of training or beyond; scoring points,
        a budget or folds beside the branches; scores of another number of examples; groups that hold nothing.
    """
    branches, n, size = config["branch"], len(task.train), config["batch_size"]
    if task.kind != "image":
        raise InputError(f"branch.fit: {task.name!r} is a task of kind {task.kind!r}; only nets for images branch.")
    if config["score_at"] or config["watch"] or config["folds"] or config["budget"] != "epochs":
        raise InputError(f"branch.fit: score_at={config['score_at']}, watch={config['watch']}, folds={config['folds']}, "
                         f"budget={config['budget']!r}; a run that branches records kernels and lines only, at equal epochs.")
    if len(values) != n:
        raise InputError(f"branch.fit: {len(values)} scores for {n} training examples; give one score an example.")
    epoch = updates_per_epoch(n, size)
    total, spawn = config["epochs"] * epoch, [step_of(at, n, size) for at in branches["spawn"]]
    if spawn != sorted(set(spawn)) or spawn[-1] >= total:
        raise InputError(f"branch.fit: spawn points {branches['spawn']} are the updates {spawn} of {total}; give them rising, "
                         "all before the end of training.")
    blocks = landscape.groups(values, branches["block"], config["seed"])
    groups = landscape.groups(values, round(branches["share"] * n), config["seed"]) | {"all": np.arange(n)}
    loop, seed = Loop(config, task, total), config["seed"]
    everything, scoring, states, kernels = device.Stopwatch(loop.device), device.Stopwatch(loop.device), {}, []
    updates = (1 + len(spawn)) * total - sum(spawn)
    with (
        everything.running(),
        device.seeded(loop.device, DROPOUT_STREAM + seed),
        device.attention(loop.device, config["quick"]),
        tqdm(total=updates, disable=not progress, desc=task.name, unit="step", leave=False) as bar,
    ):
        for step in onwards(loop, size, np.random.default_rng(seed)):
            bar.update(step > 0)
            if step in spawn:
                states[step] = loop.state()
            if step % epoch == 0:
                with scoring.running():
                    kernels.append(_kernels(loop, blocks))
        metrics, _ = judge(loop.problem, task)
        end, lines, first = loop.state()["model"], [], None
        for number, step in enumerate(spawn, start=1):
            loop.restore(states.pop(step))
            device.seed(loop.device, DROPOUT_STREAM * (1 + number) + seed)
            for _ in onwards(loop, size, np.random.default_rng([seed, number])):
                bar.update()
            with scoring.running():
                lines.append(_wrong(loop, end, loop.state()["model"], branches["alphas"], size, first))
            first = lines[0][0]  # every line begins where the run itself ended
    metrics |= {
        "n_kept": n,
        "updates": updates,
        "examples": loop.examples,
        "scored": (1 + len(spawn) * (branches["alphas"] - 1)) * n,
        "grand_scored": len(kernels) * len(blocks) * branches["block"],
        "train_seconds": everything.seconds - scoring.seconds,
        "scoring_seconds": scoring.seconds,
        "errors": {name: [[float(wrong[some].mean()) for wrong in line] for line in lines] for name, some in groups.items()},
        "velocity": {name: [landscape.velocity(one[name], next_one[name])
                            for one, next_one in zip(kernels, kernels[1:], strict=False)] for name in blocks},
        "spawn_epochs": [step / epoch for step in spawn],
        "ranked_epoch": step_of(branches["at"], n, size) / epoch,
    }  # fmt: skip
    return Fit(metrics | loop.facts, {"ids": task.train.ids, "labels": task.train.labels})


def onwards(loop: Loop, size: int, rng: np.random.Generator):
    """Train `loop` to its end in epochs shuffled by `rng`; yields the step before the first update and after each."""
    examples = loop.problem.splits["train"]
    yield loop.step
    while loop.step < loop.total:
        for _ in loop.updates(examples.shuffled(np.arange(len(examples.labels)), size, rng)):
            yield loop.step


def _kernels(loop: Loop, blocks: dict) -> dict[str, np.ndarray]:
    """Tangent kernel of every block by the model as it is now."""
    examples = loop.problem.splits["train"]
    with kinds.scoring(loop.model):
        return {name: tangent.tangent_kernel(loop.model, examples.batch(some)["image"]).cpu().numpy()
                for name, some in blocks.items()}


def _wrong(loop: Loop, one: dict, other: dict, places: int, size: int, first: np.ndarray | None = None) -> np.ndarray:
    """Whether each training example is wrong at evenly spaced places from state `one` to state `other`: [places, N].

    `first`: the row of the first place, where it is known already.
    """
    examples, out = loop.problem.splits["train"], [] if first is None else [first]
    everything, labels = np.arange(len(examples.labels)), examples.labels.cpu().numpy()
    for alpha in np.linspace(0, 1, places)[len(out) :]:
        loop.model.load_state_dict(tangent.between(one, other, float(alpha)))
        with kinds.scoring(loop.model):  # the ends are measured like the rest of the line
            batches = examples.in_order_of_length(everything, size)
            tangent.measure_statistics(loop.model, (examples.batch(some)["image"] for some in batches))
        out.append(loop.problem.record(loop.model, examples)["logits"].argmax(1) != labels)
    return np.stack(out)
