"""Which examples are in a batch: positions that travel with it past collators, workers and dropped columns."""

import inspect
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from datadiet.errors import InputError

KEY = "datadiet_position"


class Numbered(Dataset):
    """A data set whose items come as (position, item)."""

    def __init__(self, inner):
        self.inner = inner

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, position):
        return position, self.inner[position]

    def __getitems__(self, positions):
        many = getattr(self.inner, "__getitems__", None)
        return list(zip(positions, many(positions) if many else [self.inner[p] for p in positions], strict=True))


class Collated:
    """A collator of numbered items: the batch of the collator within, and the positions under :data:`KEY`."""

    def __init__(self, inner):
        self.inner = inner

    def __call__(self, numbered):
        positions, items = zip(*numbered, strict=True)
        batch = self.inner(list(items))
        if not hasattr(batch, "keys"):
            raise InputError(f"hooks: the data collator gives a {type(batch).__name__}; a dictionary with logits' inputs and "
                             "labels is needed, so that the positions of a batch can go with it.")
        batch[KEY] = torch.tensor(positions)
        return batch


class Watch:
    """Shows every training batch that goes through `model` to its seers: ``seer(positions, inputs, outputs)``.

    Batches of evaluation have no positions and are not shown. A seer may change the outputs, and what it returns is not used.
    """

    _of = WeakKeyDictionary()  # one a model: two callbacks share it

    def __init__(self, loader, model):
        self.loader, self.seers, self.now = getattr(loader, "base_dataloader", loader), [], None
        self.inner = self.loader.dataset, self.loader.collate_fn
        # A DataLoader refuses another data set once it is made; batches of its sampler are as valid for the numbered one.
        vars(self.loader).update(dataset=Numbered(self.inner[0]), collate_fn=Collated(self.inner[1]))
        self.handles = [model.register_forward_pre_hook(self._before, with_kwargs=True),
                        model.register_forward_hook(self._after, with_kwargs=True)]

    @classmethod
    def join(cls, loader, model, seer) -> "Watch":
        """Show the batches of `loader` to `seer` as well."""
        watch = cls._of.get(model)
        if watch is None or watch.loader is not getattr(loader, "base_dataloader", loader):
            if watch is not None:  # of a training that was broken off
                watch.stop(model)
            watch = cls._of[model] = cls(loader, model)
        watch.seers.append(seer)
        return watch

    def leave(self, model, seer) -> None:
        """Show no more to `seer`; without seers model and loader are as before."""
        self.seers.remove(seer)
        if not self.seers:
            self.stop(model)

    def stop(self, model) -> None:
        for handle in self.handles:
            handle.remove()
        vars(self.loader).update(dataset=self.inner[0], collate_fn=self.inner[1])
        self._of.pop(model, None)

    def _before(self, model, args, kwargs):
        self.now = kwargs.pop(KEY, None)
        return args, kwargs

    def _after(self, model, args, kwargs, outputs):
        if self.now is not None:
            for seer in self.seers:
                seer(self.now, kwargs, outputs)
        return outputs


def unnumbered(loader) -> tuple:
    """(data set, collator) of a loader, whether or not it is watched."""
    data, collate = loader.dataset, loader.collate_fn
    return (data.inner, collate.inner) if isinstance(data, Numbered) else (data, collate)


def number(where: str, loader, args=None) -> int:
    """Number of examples of a loader; with `args`, what would hide from us which of them a batch holds is refused too."""
    data = unnumbered(loader)[0]
    if not hasattr(data, "__len__") or isinstance(data, IterableDataset):
        raise InputError(f"hooks.{where}: the training set is of type {type(data).__name__}, without a length; give one whose "
                         "rows have positions (read an iterable one into memory first).")
    if args is not None and (args.torch_compile or args.n_gpu > 1):
        raise InputError(f"hooks.{where}: torch_compile={args.torch_compile}, {args.n_gpu} GPUs in one process; the positions "
                         "of a batch are not seen there: leave out torch_compile, start one process a GPU (accelerate launch).")
    return len(data)


def updates(loader, kept: int) -> int:
    """Updates of an epoch of the `kept` examples of a loader's sampler: without any, the Trainer would end the training."""
    if not len(loader):
        raise InputError(f"hooks.DynamicPruningCallback: an epoch of {kept} examples has no whole batch, and dataloader_drop_last"
                         "=True drops any other; keep more, with smaller batches, or set it to False.")
    return len(loader)


def refuse_unseen(where: str, seen: bool = False) -> None:
    """Refuse an update whose batch was not seen, or, where it was, one that did not go by the loss of the model."""
    if seen:
        raise InputError(f"hooks.{where}: an update was made by another loss than the model's own, which Soft weighs; have "
                         "compute_loss return outputs.loss, or choose a rule of Dynamic.")
    raise InputError(f"hooks.{where}: an update was made, and no batch with its positions went through the model; have "
                     "compute_loss call model(**inputs), with all the inputs that it is given.")


def logits_and_labels(inputs, outputs) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [B, K] and labels [B] of a batch; one integer label an example."""
    logits, labels = getattr(outputs, "logits", None), inputs.get("labels")
    if logits is None or labels is None or logits.ndim != 2 or logits.shape[1] < 2 or labels.shape != logits.shape[:1]:
        shapes = [None if each is None else tuple(each.shape) for each in (logits, labels)]
        raise InputError(f"hooks: the model was given labels of shape {shapes[1]} and returned logits of shape {shapes[0]}; "
                         "one class an example is needed, logits [B, K >= 2] under `.logits` and integers [B] under `labels` "
                         "(which do not reach the model with label_smoothing_factor or compute_loss_func).")
    return logits, labels


def gathered(positions, *values) -> list[np.ndarray]:
    """Positions and values of all processes, one after the other; of this one alone where there is no other.

    >>> gathered([2, 0], [0.5, 1.5])
    [array([2, 0]), array([0.5, 1.5])]
    """
    own = [np.asarray(each) for each in (positions, *values)]
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return own
    of_each = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(of_each, own)
    filled = [parts for parts in of_each if len(parts[0])] or [own]  # arrays of none have lost their shape
    return [np.concatenate(each) for each in zip(*filled, strict=True)]


def predict(model, loader, args, first: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Logits float32 [N, K] and labels [N] of all examples of a loader's data set, in its order, by the model as it is now.

    Of the `first` ones alone where that is given.

    In eval mode without gradients; each process predicts its share. No random number of the process is used up. Columns that the
    model does not take (a compute_loss may have them) are left out.
    """
    takes = inspect.signature(model.forward).parameters
    everything = any(each.kind is each.VAR_KEYWORD for each in takes.values())
    data, collate = unnumbered(loader)
    running = torch.distributed.is_available() and torch.distributed.is_initialized()
    rank, world = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if running else (0, 1)
    own = np.arange(rank, len(data) if first is None else min(first, len(data)), world)
    found, training, device = [], model.training, args.device
    cuda = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), torch.no_grad():
        model.eval()
        try:
            for batch in DataLoader(Subset(data, own.tolist()), args.eval_batch_size, collate_fn=collate):
                inputs = {name: value.to(device) if torch.is_tensor(value) else value for name, value in batch.items()}
                outputs = model(**{name: value for name, value in inputs.items() if everything or name in takes})
                found.append([each.detach().float().cpu() if each.is_floating_point() else each.cpu()
                              for each in logits_and_labels(inputs, outputs)])
        finally:
            model.train(training)
    logits, labels = (torch.cat(each).numpy() for each in zip(*found, strict=True)) if found else (np.empty((0, 0)), np.empty(0))
    positions, logits, labels = gathered(own, logits, labels)
    order = np.argsort(positions)
    return logits[order], labels[order]
