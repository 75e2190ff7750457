"""Kinds of tasks: how each is turned into batches, what its loss is, what is recorded of every example, how a model is judged.

    problem = prepare(config, load("trec6"), "cpu")
    problem.loss(problem.model, problem.splits["train"].batch([0, 1, 2]))     # [B], one loss an example

The training loop knows nothing else of a kind. A new kind is a function that returns a `Problem`, and a line in `KINDS`.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from datadiet import scores
from datadiet.data import Split, Task
from datadiet.errors import InputError
from datadiet.nets import encoders
from datadiet.nets.images import picture_classifier
from datadiet.training import fairness, joint, pictures

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}  # of passes that train nothing
PASS = 64  # tokens whose multiplications cost what there is to a forward and backward besides, on a CPU
EVAL_BATCH = {"cpu": 32, "cuda": 512}  # examples of a scoring pass: what a processor's cache holds, and what keeps a GPU busy


@dataclass(frozen=True)
class Problem:
    """A task made ready for the loop.

    ``splits``: name -> examples with ``labels``, ``batch(positions)``, ``parts(positions)``, ``shuffled(positions, size, rng)``
    and ``in_order_of_length(positions, size)``. ``loss(model, batch)``: one loss an example, [B]. ``record(model, examples)``:
    arrays whose first axis is the examples, among them ``logits`` [N, K] and ``feature_norms`` [N]. ``measure(split, recorded)``:
    metrics of a split by name, from what was recorded of it. ``score(recorded, labels)``: what dynamic pruning ranks by, [N].
    ``vary(batch)``: a training batch as the model is to see it this time. ``fixed``: arrays [N] of the training examples that no
    training changes, stored once.
    """

    model: nn.Module
    splits: dict
    loss: Callable
    record: Callable
    measure: Callable
    score: Callable = staticmethod(lambda recorded, labels: el2n(recorded, labels))
    vary: Callable = staticmethod(lambda batch: batch)
    fixed: dict = field(default_factory=dict)


def prepare(config: dict, task: Task, device) -> Problem:
    """The problem of a run.

    Raises
    ------
    InputError
        A kind of task that this loop cannot train on.
    """
    if task.kind not in KINDS:
        raise InputError(
            f"loop.fit: {task.name!r} is a task of kind {task.kind!r}; this loop trains on {', '.join(map(repr, KINDS))}."
        )
    problem = KINDS[task.kind](config, task, device)
    if config["precision"] not in PRECISIONS:
        raise InputError(f"loop.fit: precision {config['precision']!r}; choose one of {', '.join(PRECISIONS)}.")
    if (dtype := PRECISIONS[config["precision"]]) is torch.float32:
        return problem
    return replace(problem, record=_in(dtype, problem.record))


def _in(dtype: torch.dtype, record: Callable) -> Callable:
    """`record` with matrix products in `dtype`; logits come out as float32."""

    def lower(model, examples):
        with torch.autocast(next(model.parameters()).device.type, dtype):
            return record(model, examples)

    return lower


class Encoded:
    """A split as token ids on the device, batched by length.

    A column holds the tokens of all examples end to end, four bytes each: a million examples are one tensor, a batch is one
    look-up, and on a GPU nothing travels to it while it trains.
    """

    def __init__(self, labels: np.ndarray, lengths: np.ndarray, columns: dict[str, torch.Tensor], padding: int, device):
        self.labels, self.lengths = torch.as_tensor(labels, device=device), lengths  # lengths stay here: no waiting for a GPU
        self.columns = {name: flat.to(device, torch.int32) for name, flat in columns.items()}
        self.padding, self.device = padding, device
        self._starts = torch.as_tensor(np.cumsum(lengths) - lengths, device=device)
        self._lengths = torch.as_tensor(lengths, device=device)

    def batch(self, positions) -> dict:
        """Padded tensors of the examples at `positions`, with their labels."""
        some = torch.as_tensor(positions, device=self.device)
        place = torch.arange(int(self.lengths[positions].max()), device=self.device)  # [longest]
        inside = place < self._lengths[some][:, None]  # [B, longest]
        at = torch.where(inside, self._starts[some][:, None] + place, 0)
        out = {}
        for name, flat in self.columns.items():
            out[name] = torch.where(inside, flat[at], self.padding if name == "input_ids" else 0).long()
        return out | {"labels": self.labels[some]}

    def parts(self, positions) -> list:
        """`positions` cut where one more pass costs less than the padding it saves: never on a GPU, which waits for work."""
        lengths, cost, start = self.lengths[positions], np.zeros(len(positions) + 1), np.zeros(len(positions) + 1, int)
        if self.labels.is_cuda:
            return [positions]
        for end in range(1, len(cost)):  # the cheapest way to cut what lies before `end`, by that of every shorter piece
            longest = np.maximum.accumulate(lengths[:end][::-1])[::-1]
            tried = cost[:end] + np.arange(end, 0, -1) * longest + PASS
            start[end] = tried.argmin()
            cost[end] = tried[start[end]]
        out, end = [], len(positions)
        while end:
            out.append(positions[start[end] : end])
            end = start[end]
        return out[::-1]

    def same(self, i: int, j: int) -> bool:
        """Whether two examples are the same tokens."""
        one, other = (self.columns["input_ids"][self._starts[k] : self._starts[k] + self._lengths[k]] for k in (i, j))
        return torch.equal(one, other)

    def in_order_of_length(self, positions, size):
        order = positions[np.argsort(self.lengths[positions], kind="stable")]
        return [order[i : i + size] for i in range(0, len(order), size)]

    def shuffled(self, positions, size, rng):
        """One epoch: random batches whose members have similar lengths, in random order."""
        positions, pool = rng.permutation(positions), 50 * size
        pools = [self.in_order_of_length(positions[i : i + pool], size) for i in range(0, len(positions), pool)]
        # The smaller batch must come from the last pool only, so that an epoch has exactly ceil(n / size) updates.
        batches = [batch for group in pools for batch in group]
        return [batches[i] for i in rng.permutation(len(batches))]


def encode(config: dict, task: Task, model, device) -> dict[str, Encoded]:
    """Tokenise every split once, and trim the model's vocabulary to what occurs in them."""
    in_words = task.kind == "joint"
    tokenizer = (encoders.word_tokenizer if in_words else encoders.tokenizer)(config["encoder"])
    splits = {name: split for name in ("train", "validation", "test") if (split := getattr(task, name)) is not None}
    tokens = {}
    for name, split in splits.items():
        columns = [split.inputs[c] for c in ("tokens", "text", "text_pair") if c in split.inputs]
        tokens[name] = tokenizer(*columns, truncation=True, max_length=config["max_length"], is_split_into_words=in_words)
    # Ids up to the padding id keep their number: RoBERTa counts positions from it.
    used = set(range(tokenizer.pad_token_id + 1)) | {t for split in tokens.values() for row in split["input_ids"] for t in row}
    renamed = encoders.trim_vocabulary(model, torch.tensor(sorted(used)))
    padding, encoded = int(renamed[tokenizer.pad_token_id]), {}
    for name, split in splits.items():
        columns = dict(tokens[name]) | (joint.columns(task, split, tokens[name]) if in_words else {})
        lengths = np.array([len(row) for row in columns["input_ids"]])
        flat = {column: torch.tensor([token for row in rows for token in row]) for column, rows in columns.items()}
        flat["input_ids"] = renamed[flat["input_ids"]]
        encoded[name] = Encoded(split.labels, lengths, flat, padding, device)
    return encoded


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
    """How many examples a pass that trains nothing takes at once, where the model is."""
    return EVAL_BATCH[next(model.parameters()).device.type]


def predict(model, encoded: Encoded, wanted: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """``logits`` [N, K] and ``feature_norms`` [N], norms of the head's input, in eval mode, in the split's order.

    Rows that are not at the positions `wanted` (all where None) mean nothing.
    """
    n = len(encoded.labels)
    head, features = encoders.output_layer(model), []
    logits, norms = np.empty((n, head.out_features), np.float32), np.empty(n, np.float32)
    hook = head.register_forward_pre_hook(lambda module, args: features.append(args[0]))
    try:
        with scoring(model), torch.inference_mode():
            for positions in encoded.in_order_of_length(np.arange(n) if wanted is None else wanted, eval_batch(model)):
                logits[positions] = logits_of(model, encoded.batch(positions)).cpu().numpy()
                norms[positions] = features.pop().float().norm(dim=-1).cpu().numpy()
    finally:
        hook.remove()
    return {"logits": logits, "feature_norms": norms}


def accuracy(split: Split, recorded: dict) -> dict[str, float]:
    """Share of examples whose highest logit is that of their label, and Matthews' correlation of the two."""
    predicted = recorded["logits"].argmax(1)
    return {"accuracy": float((predicted == split.labels).mean()), "matthews": matthews(predicted, split.labels)}


def matthews(predicted: np.ndarray, labels: np.ndarray) -> float:
    r"""Matthews' correlation of predictions with labels, of any number of classes: 0 where either is all one class.

    .. math:: \frac{c s - \sum_k p_k t_k}{\sqrt{(s^2 - \sum_k p_k^2)(s^2 - \sum_k t_k^2)}}

    with s examples, c of them right, p_k predicted as class k and t_k of class k (Gorodkin, 2004). GLUE judges CoLA by it.

    >>> matthews(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1])), matthews(np.array([1, 1, 1, 1]), np.array([0, 0, 1, 1]))
    (1.0, 0.0)
    """
    n, size = len(labels), int(max(predicted.max(), labels.max())) + 1
    guessed, true = (np.bincount(values, minlength=size).astype(float) for values in (predicted, labels))
    spread = np.sqrt((n**2 - guessed @ guessed) * (n**2 - true @ true))
    return float((n * (predicted == labels).sum() - guessed @ true) / spread) if spread else 0.0


def _texts(config: dict, task: Task, device) -> Problem:
    model = encoders.classifier(config["encoder"], task.n_classes, config["layers"], config["seed"])
    return Problem(model, encode(config, task, model, device), example_loss, predict, accuracy)


def _both(split: Split | None) -> Split | None:
    """The sentences as they are, then the same ones swapped: position N + i is the counterfactual of i."""
    return split and Split(np.tile(split.ids, 2), np.tile(split.labels, 2),
                           {"text": [*split.inputs["text"], *split.inputs["swapped"]]})


def predict_swaps(model, encoded: Encoded) -> dict[str, np.ndarray]:
    """What :func:`predict` records of the sentences as they are, and ``swapped_logits`` [N, K] of their counterfactuals."""
    n = len(encoded.labels) // 2
    # A copy in another batch would round differently, and look as if the swap had moved it.
    copies = np.array([encoded.same(i, n + i) for i in range(n)])
    seen = predict(model, encoded, np.concatenate([np.arange(n), n + np.flatnonzero(~copies)]))
    swapped = np.where(copies[:, None], seen["logits"][:n], seen["logits"][n:])
    return {name: values[:n] for name, values in seen.items()} | {"swapped_logits": swapped}


def _swaps(config: dict, task: Task, device) -> Problem:
    doubled = replace(task, train=_both(task.train), validation=_both(task.validation), test=_both(task.test))

    def measure(split, recorded):
        return fairness.judge(recorded["logits"], recorded["swapped_logits"], split.labels, split.inputs["gender"])

    return replace(_texts(config, doubled, device), record=predict_swaps, measure=measure)


def _pictures(config: dict, task: Task, device) -> Problem:
    if config["layers"] is not None:
        raise InputError(f"loop.fit: layers={config['layers']} asked of a net for images; leave it out (None).")
    splits = pictures.ready(task, config["inputs"], device)
    model = picture_classifier(config["encoder"], task.n_classes, splits["train"].images.shape[1], config["seed"])
    vary, fixed = pictures.shifted if config["shifts"] else Problem.vary, {"input_norm": splits["train"].norms}
    return Problem(model, splits, example_loss, predict, accuracy, vary=vary, fixed=fixed)


def el2n(recorded: dict, labels: np.ndarray) -> np.ndarray:
    """EL2N of what was recorded, [N]."""
    return scores.el2n(torch.softmax(torch.from_numpy(recorded["logits"]).double(), -1).numpy(), labels)


def _joint(config: dict, task: Task, device) -> Problem:
    model = joint.classifier(config["encoder"], task.n_classes, len(task.slot_names), config["layers"], config["seed"])

    def record(model, encoded):
        n = len(encoded.labels)
        batches = ((some, encoded.batch(some)) for some in encoded.in_order_of_length(np.arange(n), eval_batch(model)))
        with scoring(model), torch.inference_mode():
            return joint.record(model, batches, n)

    splits, measure = encode(config, task, model, device), partial(joint.measure, task)
    return Problem(model, splits, joint.example_loss, record, measure, joint.el2n)


KINDS = {"text": _texts, "pair": _texts, "swap": _swaps, "image": _pictures, "joint": _joint}
