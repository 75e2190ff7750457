"""The outside method: a logistic regression on frozen features, and its probabilities for examples it was not fitted on.

    fitted = out_of_fold(config(task="trec6", folds=5, score_at=[0]), load("trec6"))
    fitted.arrays["logits"]      # [1, N, K]: log-probabilities, each example's from a model that never saw its label

Confident learning asks for such probabilities. Nothing is fine-tuned: the encoder stays as it was trained, or drawn.
"""

import time
import warnings

import numpy as np
import torch

from datadiet.data import Task
from datadiet.errors import InputError
from datadiet.nets import device, encoders
from datadiet.training import kinds
from datadiet.training.loop import Fit

FLOOR = 1e-12  # of a probability, so that its logarithm is a number


def features(config: dict, task: Task) -> np.ndarray:
    """The input of the untrained model's head for each training example, float32 [N, d], in eval mode, on the run's device."""
    problem = kinds.prepare(config, task, device.check(config["device"]))
    seen, train, head = [], problem.splits["train"], encoders.output_layer(problem.model)
    batches = train.in_order_of_length(np.arange(len(task.train)), kinds.eval_batch(problem.model))
    hook = head.register_forward_pre_hook(lambda module, args: seen.append(args[0].float()))
    try:
        with kinds.scoring(problem.model), torch.inference_mode():
            for batch in kinds.batched(train, batches):
                problem.loss(problem.model, batch)
    finally:
        hook.remove()
    out = np.empty((len(task.train), head.in_features), np.float32)
    out[np.concatenate(batches)] = torch.cat(seen).cpu().numpy()  # a GPU is read once
    return out


def out_of_fold(config: dict, task: Task) -> Fit:
    """Log-probabilities of every training example by a logistic regression fitted on the other folds.

    Parameters
    ----------
    config : dict
        A run's config; ``folds`` says how many, ``seed`` draws them, stratified by label.
    task : Task
        The task, labels already flipped where the run asks for noise.

    Returns
    -------
    Fit
        ``arrays``: ids, labels, truth where labels were flipped, and logits [1, N, K].

    Raises
    ------
    InputError
        Fewer than two folds, a pruned run, other than one scoring point, or a class with fewer examples than folds.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds, labels = config["folds"], task.train.labels
    if folds < 2 or config["keep"] is not None or len(config["score_at"]) != 1:
        raise InputError(f"frozen.out_of_fold: {folds} folds, pruned: {config['keep'] is not None}, scoring points "
                         f"{config['score_at']}; give at least 2 folds, no pruning, and one scoring point to name the column.")
    counts = np.bincount(labels, minlength=task.n_classes)
    if counts.min() < folds:
        raise InputError(f"frozen.out_of_fold: class {task.label_names[counts.argmin()]!r} of {task.name!r} has {counts.min()} "
                         f"example(s) for {folds} folds; every fold needs one of each class: fewer folds, or more examples.")
    start = time.perf_counter()
    vectors = features(config, task)
    scoring = time.perf_counter() - start
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    split = StratifiedKFold(folds, shuffle=True, random_state=config["seed"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)  # a regression that has not converged is no result
        probs = cross_val_predict(model, vectors, labels, cv=split, method="predict_proba")
    arrays = {"ids": task.train.ids, "labels": labels, "logits": np.log(np.maximum(probs, FLOOR)).astype(np.float32)[None]}
    if task.truth is not None:
        arrays["truth"] = task.truth
    metrics = {
        "n_kept": len(labels),
        "updates": 0,
        "examples": 0,
        "scored": len(labels),
        "grand_scored": 0,
        "train_seconds": time.perf_counter() - start - scoring,
        "scoring_seconds": scoring,
        "out_of_fold_accuracy": float((probs.argmax(1) == labels).mean()),
    }
    return Fit(metrics, arrays)
