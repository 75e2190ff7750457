"""Kinds of tasks: batches, the loss of an example, the arrays recorded of every example, and the metrics of a split.

    problem = prepare(config, load("trec6"), "cpu")
    problem.loss(problem.model, problem.splits["train"].batch([0, 1, 2]))     # [B], one loss an example

The training loop knows nothing else of a kind. A new kind is a function that returns a `Problem`, and a line in `KINDS`.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
import torch
from scipy.special import softmax
from torch import nn
from torch.nn.functional import cross_entropy

from datadiet import scores
from datadiet.data import Split, Task
from datadiet.errors import InputError
from datadiet.nets import device as devices
from datadiet.nets import encoders
from datadiet.nets.images import picture_classifier
from datadiet.training import fairness, joint, pictures, static
from datadiet.training.tokens import tokens

PASS = 64  # tokens whose multiplications take as long as the rest of a forward and backward on a CPU: calls, small tensors
WINDOW = 50  # batches that are cut from one sequence of examples in order of length


@dataclass(frozen=True)
class Problem:
    """A task made ready for the loop, its model on the device.

    ``splits``: name -> examples with ``labels``, ``device``, ``batch(positions, longest=None)``, ``longest(positions)``,
    ``parts(positions)``, ``shuffled(positions, size, rng)`` and ``in_order_of_length(positions, size)``. ``loss(model, batch)``:
    one loss an example, [B]. ``record(model, examples)``: arrays whose first axis is the examples, among them ``logits`` [N, K]
    and ``feature_norms`` [N]. ``measure(split, recorded)``: metrics of a split by name, from its recorded arrays.
    ``score(recorded, labels)``: the score that dynamic pruning ranks by, [N]. ``vary(batch)``: a training batch under this
    epoch's augmentation. ``fixed``: arrays [N] of the training examples that no training changes, stored once. ``facts``:
    metrics that are known before training. ``one_label``: whether an example is one input with one label, so that its gradient
    in the input is one.
    """

    model: nn.Module
    splits: dict
    loss: Callable
    record: Callable
    measure: Callable
    score: Callable = staticmethod(lambda recorded, labels: el2n(recorded, labels))
    vary: Callable = staticmethod(lambda batch: batch)
    fixed: dict = field(default_factory=dict)
    facts: dict = field(default_factory=dict)
    one_label: bool = True


def prepare(config: dict, task: Task, device) -> Problem:
    """The problem of a run.

    Raises
    ------
    InputError
        A kind of task that this loop cannot train on; an unknown precision.
    """
    if task.kind not in KINDS:
        raise InputError(
            f"loop.fit: {task.name!r} is a task of kind {task.kind!r}; this loop trains on {', '.join(map(repr, KINDS))}."
        )
    for name in ("precision", "training_precision"):
        if config[name] not in devices.PRECISIONS:
            raise InputError(f"loop.fit: {name} {config[name]!r}; choose one of {', '.join(devices.PRECISIONS)}.")
    problem = KINDS[task.kind](config, task, device)
    problem.model.to(device)
    if config["precision"] == "float32":
        return problem
    return replace(problem, record=_in(config["precision"], problem.record))


def _in(precision: str, record: Callable) -> Callable:
    """`record` with matrix products in `precision`; logits come out as float32."""

    def lower(model, examples):
        with devices.autocast(next(model.parameters()).device, precision):
            return record(model, examples)

    return lower


class Encoded:
    """A split as token ids on the device, batched by length.

    A column, a tensor, holds the tokens of all examples end to end, four bytes each, or their activations [T, d]: a batch is one
    look-up, and only the positions of its examples travel to a GPU. ``cut``: how many examples have lost their end. ``buckets``:
    the few lengths that batches are padded to, rising, the last no shorter than any example; None pads each batch to its longest.
    """

    def __init__(self, labels: np.ndarray, lengths: np.ndarray, columns: dict, padding: int, device, cut: int = 0, buckets=None):
        self.labels, self.lengths = torch.as_tensor(labels, device=device), lengths  # lengths stay here: no waiting for a GPU
        kind = {True: torch.float32, False: torch.int32}
        self.columns = {name: flat.to(device, kind[flat.is_floating_point()]) for name, flat in columns.items()}
        self.padding, self.device, self.cut, self.buckets = padding, device, cut, buckets
        self._starts = torch.as_tensor(np.cumsum(lengths) - lengths, device=device)
        self._lengths = torch.as_tensor(lengths, device=device)

    def longest(self, positions) -> int:
        """Tokens that a batch of the examples at `positions` is padded to."""
        length = int(self.lengths[positions].max())
        return length if self.buckets is None else static.rounded_up(length, self.buckets)

    def batch(self, positions, longest: int | None = None) -> dict:
        """Padded tensors of the examples at `positions`, with their labels.

        With `longest` the positions may be a tensor on the device, and nothing travels.
        """
        some = torch.as_tensor(positions, device=self.device)
        place = torch.arange(self.longest(positions) if longest is None else longest, device=self.device)  # [longest]
        inside = place < self._lengths[some][:, None]  # [B, longest]
        at = torch.where(inside, self._starts[some][:, None] + place, 0)
        out = {}
        for name, flat in self.columns.items():
            if flat.is_floating_point():
                out[name] = flat[at] * inside[..., None]
                continue
            out[name] = torch.where(inside, flat[at], self.padding if name == "input_ids" else 0).long()
        return out | {"labels": self.labels[some]}

    def parts(self, positions) -> list:
        """`positions` cut where one more pass costs less than the padding it saves: a matter of the device."""
        if not devices.cuts_batches(self.device):
            return [positions]
        lengths, cost, start = self.lengths[positions], np.zeros(len(positions) + 1), np.zeros(len(positions) + 1, int)
        for end in range(1, len(cost)):  # the cheapest way to cut the examples before `end`, by that of every shorter piece
            longest = np.maximum.accumulate(lengths[:end][::-1])[::-1]
            tried = cost[:end] + np.arange(end, 0, -1) * longest + PASS
            start[end] = tried.argmin()
            cost[end] = tried[start[end]]
        out, end = [], len(positions)
        while end:
            out.append(positions[start[end] : end])
            end = start[end]
        return out[::-1]

    @cached_property
    def copies(self) -> np.ndarray:
        """Of a split that is N examples and then N swapped ones: whether example N + i is the same tokens as i, bool [N]."""
        n, starts = len(self.lengths) // 2, np.cumsum(self.lengths) - self.lengths
        same = self.lengths[:n] == self.lengths[n:]
        some = np.flatnonzero(same)  # of equal lengths; these are compared token by token
        sizes = self.lengths[some]
        pair = np.repeat(np.arange(len(some)), sizes)
        place = np.arange(len(pair)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        ids = self.columns["input_ids"].cpu().numpy()
        differ = ids[starts[some][pair] + place] != ids[starts[n + some][pair] + place]
        same[some[pair[differ]]] = False
        return same

    def in_order_of_length(self, positions, size):
        order = positions[np.argsort(self.lengths[positions], kind="stable")]
        return [order[i : i + size] for i in range(0, len(order), size)]

    def shuffled(self, positions, size, rng):
        """One epoch: random batches whose members have similar lengths, in random order."""
        positions, window = rng.permutation(positions), WINDOW * size
        # The smaller batch must come from the last window only, so that an epoch has exactly ceil(n / size) updates.
        windows = [positions[i : i + window] for i in range(0, len(positions), window)]
        batches = [batch for some in windows for batch in self.in_order_of_length(some, size)]
        return [batches[i] for i in rng.permutation(len(batches))]


def encode(config: dict, task: Task, model, device) -> dict[str, Encoded]:
    """Every split as tokens, each example's first `max_length`; the model's vocabulary is trimmed to those that occur."""
    in_words = task.kind == "joint"
    splits = {name: split for name in ("train", "validation", "test") if (split := getattr(task, name)) is not None}
    found = {}
    for name, split in splits.items():
        texts = [tuple(map(tuple, split.inputs["tokens"]))] if in_words else [
            tuple(split.inputs[c]) for c in ("text", "text_pair") if c in split.inputs
        ]
        found[name] = tokens(config["encoder"], config["max_length"], *texts, in_words=in_words)
    padding = (encoders.word_tokenizer if in_words else encoders.tokenizer)(config["encoder"]).pad_token_id
    # Ids up to the padding id keep their number: RoBERTa counts positions from it.
    used = np.bincount(np.concatenate([np.arange(padding + 1)] + [each.columns["input_ids"] for each in found.values()]))
    renamed = encoders.trim_vocabulary(model, torch.from_numpy(np.flatnonzero(used)))
    encoded, buckets = {}, static.buckets(config["max_length"]) if devices.static(device, config["quick"]) else None
    for name, split in splits.items():
        columns = {column: torch.from_numpy(flat) for column, flat in found[name].columns.items()}
        columns["input_ids"] = renamed[columns["input_ids"].long()]
        if in_words:
            columns |= {column: torch.tensor(flat) for column, flat in joint.columns(task, split, found[name]).items()}
        cut = found[name].cut
        encoded[name] = Encoded(split.labels, found[name].lengths, columns, int(renamed[padding]), device, cut, buckets)
    return encoded


def _facts(model, train: Encoded) -> dict:
    """``cut``, the share of training examples longer than `max_length`; ``encoder_revision`` of an encoder of the hub."""
    revision = encoders.revision_of(model)
    return {"cut": train.cut / len(train.labels)} | ({} if revision is None else {"encoder_revision": revision})


def _inputs(batch: dict) -> dict:
    return {name: value for name, value in batch.items() if name != "labels"}


def logits_of(model, batch) -> torch.Tensor:
    """Logits of a batch, float32 [B, K]."""
    out = model(**_inputs(batch))
    return (out if isinstance(out, torch.Tensor) else out.logits).float()


def example_loss(model, batch) -> torch.Tensor:
    """Cross-entropy of each example, [B]: the loss whose gradient GraNd measures."""
    return cross_entropy(logits_of(model, batch), batch["labels"], reduction="none")


@contextlib.contextmanager
def scoring(model):
    """Eval mode for the time of a pass (dropout off: a score is a property of the model, not of a draw)."""
    mode = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(mode)


@contextlib.contextmanager
def dropout_on(model):
    """Dropout stays on in passes made in eval mode: a defect of released code, kept as an ablation. For encoders of text."""

    def switch_on(module, args):
        module.training = True

    hooks = [module.register_forward_pre_hook(switch_on) for module in model.modules()]
    mode = model.training
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        model.train(mode)


def eval_batch(model) -> int:
    """How many examples a pass that trains nothing takes at once, on the device of the model."""
    return devices.EVAL_BATCH[devices.name_of(next(model.parameters()).device)]


def batched(examples, batches: list):
    """Each of `batches` of positions as a batch. Positions are uploaded together: a GPU is waited for at every upload."""
    if batches:
        everything = torch.as_tensor(np.concatenate(batches), device=examples.device)
        for positions, some in zip(batches, everything.split([len(each) for each in batches]), strict=True):
            yield examples.batch(some, examples.longest(positions))


def predict(model, encoded: Encoded, wanted: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """``logits`` [N, K] and ``feature_norms`` [N], norms of the head's input, in eval mode, in the split's order.

    Rows that are not at the positions `wanted` (all where None) mean nothing.
    """
    n, wanted = len(encoded.labels), np.arange(len(encoded.labels)) if wanted is None else wanted
    head, norms, batches = encoders.output_layer(model), [], encoded.in_order_of_length(wanted, eval_batch(model))
    hook = head.register_forward_pre_hook(lambda module, args: norms.append(args[0].float().norm(dim=-1)))
    try:
        with scoring(model), torch.inference_mode():
            logits = [logits_of(model, batch) for batch in batched(encoded, batches)]
    finally:
        hook.remove()
    # A GPU is read once, at the end: it would be waited for at every batch.
    found = {"logits": np.empty((n, head.out_features), np.float32), "feature_norms": np.empty(n, np.float32)}
    for name, parts in (("logits", logits), ("feature_norms", norms)) if batches else ():
        found[name][np.concatenate(batches)] = torch.cat(parts).cpu().numpy()
    return found


def accuracy(split: Split, recorded: dict) -> dict[str, float]:
    """Share of examples whose highest logit is that of their label, and Matthews' correlation of the two (0 with one class).

    GLUE judges CoLA by the latter; of more than two classes it is that of Gorodkin (2004).
    """
    from sklearn.metrics import matthews_corrcoef

    predicted, labels = recorded["logits"].argmax(1), split.labels
    several = len(np.union1d(predicted, labels)) > 1  # of one class in all, scikit-learn warns
    matthews = float(matthews_corrcoef(labels, predicted)) if several else 0.0
    return {"accuracy": float((predicted == labels).mean()), "matthews": matthews}


def _texts(config: dict, task: Task, device) -> Problem:
    model = encoders.classifier(config["encoder"], task.n_classes, config["layers"], config["seed"])
    splits = encode(config, task, model, device)
    return Problem(model, splits, example_loss, predict, accuracy, facts=_facts(model, splits["train"]))


def _both(split: Split | None) -> Split | None:
    """The sentences as they are, then the same ones swapped: position N + i is the counterfactual of i."""
    return split and Split(np.tile(split.ids, 2), np.tile(split.labels, 2),
                           {"text": [*split.inputs["text"], *split.inputs["swapped"]]})


def predict_swaps(model, encoded: Encoded) -> dict[str, np.ndarray]:
    """The arrays of :func:`predict` for the sentences as they are, and ``swapped_logits`` [N, K] of their counterfactuals."""
    n, copies = len(encoded.labels) // 2, encoded.copies
    # A copy in another batch would round differently, and look as if the swap had moved it.
    seen = predict(model, encoded, np.concatenate([np.arange(n), n + np.flatnonzero(~copies)]))
    swapped = np.where(copies[:, None], seen["logits"][:n], seen["logits"][n:])
    return {name: values[:n] for name, values in seen.items()} | {"swapped_logits": swapped}


def _swaps(config: dict, task: Task, device) -> Problem:
    doubled = replace(task, train=_both(task.train), validation=_both(task.validation), test=_both(task.test))

    def measure(split, recorded):
        return fairness.judge(recorded["logits"], recorded["swapped_logits"], split.labels, split.inputs["gender"])

    return replace(_texts(config, doubled, device), record=predict_swaps, measure=measure, one_label=False)


def _pictures(config: dict, task: Task, device) -> Problem:
    if config["layers"] is not None:
        raise InputError(f"loop.fit: layers={config['layers']} asked of a net for images; leave it out (None).")
    splits = pictures.ready(task, config["inputs"], device)
    model = picture_classifier(config["encoder"], task.n_classes, splits["train"].images.shape[1], config["seed"])
    vary, fixed = pictures.shifted if config["shifts"] else Problem.vary, {"input_norm": splits["train"].norms}
    return Problem(model, splits, example_loss, predict, accuracy, vary=vary, fixed=fixed)


def el2n(recorded: dict, labels: np.ndarray) -> np.ndarray:
    """EL2N from recorded arrays, [N]."""
    return scores.el2n(softmax(recorded["logits"].astype(np.float64), axis=-1), labels)


def _joint(config: dict, task: Task, device) -> Problem:
    model = joint.classifier(config["encoder"], task.n_classes, len(task.slot_names), config["layers"], config["seed"])

    def record(model, encoded):
        n = len(encoded.labels)
        positions = encoded.in_order_of_length(np.arange(n), eval_batch(model))
        with scoring(model), torch.inference_mode():
            return joint.record(model, zip(positions, batched(encoded, positions), strict=True), n)

    splits, measure = encode(config, task, model, device), partial(joint.measure, task)
    facts = _facts(model, splits["train"])
    return Problem(model, splits, joint.example_loss, record, measure, joint.el2n, facts=facts, one_label=False)


KINDS = {"text": _texts, "pair": _texts, "swap": _swaps, "image": _pictures, "joint": _joint}
