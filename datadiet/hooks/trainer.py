"""Callbacks for the Trainer of transformers: scores of its training examples, and pruning while it trains.

    recorded = ScoreCallback(out="scores.parquet", ids=data["id"])
    pruning = DynamicPruningCallback({"rule": "hardest", "fraction": 0.7})
    Trainer(model, args, train_dataset=data, callbacks=[recorded, pruning]).train()

For classification, one label an example. Positions are those of the data set, whatever the Trainer shuffles or drops. Under
``accelerate launch`` every process is asked for its share. FSDP and DeepSpeed were not tried.
"""

import copy
import logging
import math
import zlib

import numpy as np
import torch
from torch.utils.data import BatchSampler
from transformers import TrainerCallback
from transformers.trainer_utils import IntervalStrategy

from datadiet import dynamic, runs, scores
from datadiet.errors import InputError
from datadiet.hooks import positions, recorded
from datadiet.hooks.sampler import Kept

LOG = logging.getLogger(__name__)
RATES = {"adapt": "adapted to the shorter epochs (lr='adapt')",
         "keep": "not adapted to the shorter epochs, and training ends before its schedule does (lr='keep')"}


class ScoreCallback(TrainerCallback):
    """Records the logits of every training example while a Trainer trains, and scores them at the end.

    Parameters
    ----------
    out : path, optional
        Table of scores that is written at the end: .csv, .jsonl or .parquet; a row an example, in the order of the data set.
    at : "epoch" or list of int
        When: after each epoch, or after these numbers of updates (0: before the first).
    source : str
        "pass": a pass over the training set in eval mode, which costs a forward pass for every recording and leaves the training
        as it is, to the bit. "training": the logits of the forward passes made anyway, which cost nothing: dropout is on, and the
        weights move between batches (forgetting, AUM and data maps were published so); only with ``at="epoch"``.
    ids : sequence [n], optional
        Names of the examples, for the table; else their positions.
    force : bool
        Write over an `out` that exists.

    Attributes
    ----------
    logits, labels : float32 [T, n, K], int64 [n]
    points : list of (step, epoch)

    Raises
    ------
    InputError
        An `out` that exists or cannot be, settings out of range: before training. Examples without logits in an epoch (a last
        batch dropped, or pruned), with source="training": when they are asked for; the log says that `out` is not written then.
    """

    def __init__(self, out=None, at="epoch", source="pass", ids=None, force=False):
        self.out = recorded.checked_out(out, force)
        if not isinstance(source, str) or source not in ("pass", "training"):
            raise InputError(f"hooks.ScoreCallback: source={source!r}; choose 'pass' or 'training'.")
        at = at if isinstance(at, str) else recorded.as_list(at)
        if at != "epoch" and (isinstance(at, str) or not at or any(not recorded.whole(p) or p < 0 for p in at)):
            raise InputError(f"hooks.ScoreCallback: at={at!r}; give 'epoch' or a list of numbers of updates, 0 or more.")
        if at != "epoch" and source == "training":
            raise InputError("hooks.ScoreCallback: source='training' sees each example once an epoch; leave at='epoch'.")
        at = at if at == "epoch" else [int(point) for point in at]
        self.at, self.source, self.ids = at, source, recorded.checked_ids(ids, self.out)
        self._kept = recorded.Recordings()
        # Two callbacks of one training are told apart by their settings.
        self._file = f"datadiet_scores_{source}_{zlib.crc32(repr(at).encode()):08x}.npz"

    @property
    def logits(self) -> np.ndarray:
        return self._kept.logits("hooks.ScoreCallback.logits")

    @property
    def labels(self) -> np.ndarray:
        return self._kept.labels

    @property
    def points(self) -> list:
        return self._kept.points

    def scores(self, names=None, at=None) -> dict[str, np.ndarray]:
        """Scores by name, float64 [n] each, higher = harder: see :func:`datadiet.hooks.recorded.scores_over_time`."""
        return recorded.scores_over_time(self.logits, self.labels, names, at)

    def frame(self, names=None, at=None):
        """The scores as a pandas.DataFrame: id, label, a column a score; a row an example, in the order of the data set."""
        return recorded.frame(self.ids, self.labels, self.scores(names, at))

    def on_train_begin(self, args, state, control, model=None, train_dataloader=None, **kwargs):
        n = positions.number("ScoreCallback", train_dataloader, args if self.source == "training" else None)
        if self.ids is not None and len(self.ids) != n:
            raise InputError(f"hooks.ScoreCallback: {len(self.ids)} ids for {n} training examples; give one for each.")
        self._loader, self._seen, self._watch = train_dataloader, [], None
        self._full = max(-(-len(train_dataloader) // args.gradient_accumulation_steps), 1)  # updates of an epoch
        self._kept = recorded.Recordings(n)
        self._left = [] if self.at == "epoch" else sorted(set(self.at))
        if state.global_step:
            stored = recorded.resumed("ScoreCallback", self._file, args, state)
            self._kept.load(stored)
            self._left = [point for point in self._left if point > state.global_step]
            if state.is_world_process_zero and len(stored["seen"]):
                self._seen = [(stored["seen"], stored["seen_logits"], stored["seen_labels"])]
        if self.source == "training":
            self._watch = positions.Watch.join(train_dataloader, model, self._see)
        else:  # a model that cannot be recorded is refused now, not after an epoch
            positions.predict(model, train_dataloader, args, first=args.world_size)
        self._record_due(args, state, model)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if self._watch and not self._seen:
            positions.refuse_unseen("ScoreCallback")
        self._record_due(args, state, model)
        if state.global_step % self._full == 0:  # a checkpoint that is written now is resumed in the next epoch
            self._end_epoch(args, state, model)

    def on_epoch_end(self, args, state, control, model=None, **kwargs):
        self._record_due(args, state, model)  # pruning may have left out steps
        if self.source == "training" and control.should_training_stop and state.global_step % self._full:
            LOG.warning("ScoreCallback: training stopped within an epoch, at step %s; the part of the training set that it held "
                        "is no recording.", state.global_step)
            return
        if not self.points or self.points[-1][1] != math.ceil(state.epoch):
            self._end_epoch(args, state, model)

    def _end_epoch(self, args, state, model):
        if self.at != "epoch":
            return
        if self.source == "pass":
            self._record(args, state, model)
        else:
            self._kept.add(state, *self._gathered())
            self._seen = []

    def on_save(self, args, state, control, **kwargs):
        seen = self._gathered()
        if state.is_world_process_zero:
            np.savez(recorded.beside("ScoreCallback", self._file, args, state), **self._kept.stored(),
                     **dict(zip(("seen", "seen_logits", "seen_labels"), seen, strict=True)))

    def on_train_end(self, args, state, control, model=None, **kwargs):
        if self._watch:
            self._watch.leave(model, self._see)
        if self._left:
            LOG.warning("ScoreCallback: training ended at step %s, step(s) %s not recorded.", state.global_step, self._left)
        if self.out and state.is_world_process_zero and self.points:
            try:
                recorded.write(self.frame(), self.out)
            except Exception as problem:  # whatever it is: the training is done, and an error here would lose it
                LOG.error("ScoreCallback: no scores were written to %s: %s The callback has the recordings.", self.out, problem)

    def _record_due(self, args, state, model):
        if self._left and self._left[0] <= state.global_step:
            self._left = [point for point in self._left if point > state.global_step]
            self._record(args, state, model)

    def _record(self, args, state, model):
        logits, labels = positions.predict(model, self._loader, args)
        self._kept.add(state, np.arange(len(logits)), logits, labels)

    def _see(self, where, inputs, outputs):
        logits, labels = positions.logits_and_labels(inputs, outputs)
        self._seen.append((where.detach(), logits.detach().float(), labels.detach()))

    def _gathered(self) -> list[np.ndarray]:
        """Positions, logits and labels of the batches of this epoch so far, of all processes."""
        parts = [[torch.as_tensor(part).cpu().numpy() for part in parts] for parts in self._seen]
        own = [np.concatenate(each) for each in zip(*parts, strict=True)] if parts else [np.empty(0, np.int64)] * 3
        return positions.gathered(*own)


class DynamicPruningCallback(TrainerCallback):
    """Leaves out training examples, epoch by epoch, by a schedule of :mod:`datadiet.dynamic`.

    The order of an epoch is the Trainer's own, shuffled by its own seed, without the examples that are left out. Epochs have
    fewer updates; the updates that fall away count as passed in ``state.global_step`` (so ``max_steps``, checkpoints and
    ``epoch`` mean the same as without pruning, and a run resumed from a checkpoint is the uninterrupted one). The logged ``loss``
    and ``train_loss`` are put right, for reporters that come after this callback; ``TrainOutput.training_loss`` and steps a
    second are not.

    Parameters
    ----------
    schedule : dict, Dynamic or Soft
        A dict as for :func:`datadiet.dynamic.of` ({"rule": "hardest", "fraction": 0.7}, {"rule": "soft"}), whose seed is the
        Trainer's ``data_seed``, else ``seed``; or a fresh schedule of the right size, of which a copy is used. "hardest" ranks by
        EL2N in eval mode, a forward pass over all examples a cycle. `Soft` goes by the training losses and weighs them: for
        models whose loss is the mean cross-entropy of their logits.
    lr : str
        "adapt" (default): the learning rate moves on faster in a shorter epoch, so that every epoch spans the same part of its
        schedule as without pruning, warm-up included, and the schedule is at its end when training is. "keep": a step an update,
        so the schedule stops short of its end. The log says which.

    Raises
    ------
    InputError
        When training starts: gradient accumulation (the last updates of a shorter epoch would be lost), a data set without a
        length, a schedule of another size or without a whole batch; for `Soft` a loss of another kind, or not the model's own.
    """

    def __init__(self, schedule, lr="adapt"):
        if not isinstance(lr, str) or lr not in ("adapt", "keep"):
            raise InputError(f"hooks.DynamicPruningCallback: lr={lr!r}; choose 'adapt' or 'keep'.")
        if isinstance(schedule, dict):
            schedule = dynamic.settings(schedule)
            if schedule.get("dropout") or schedule.get("reuse"):
                raise InputError("hooks.DynamicPruningCallback: the Trainer's pass that scores is one of its own in eval mode; "
                                 "leave out dropout and reuse.")
        elif not isinstance(schedule, dynamic.Dynamic | dynamic.Soft):
            raise InputError(f"hooks.DynamicPruningCallback: schedule={schedule!r}; give a dict, a Dynamic or a Soft.")
        self.given, self.lr, self.schedule, self.sizes = schedule, lr, None, []

    def on_train_begin(self, args, state, control, model=None, train_dataloader=None, **kwargs):
        where = "DynamicPruningCallback"
        n = positions.number(where, train_dataloader, args)
        if args.gradient_accumulation_steps > 1:
            raise InputError(f"hooks.{where}: gradient_accumulation_steps={args.gradient_accumulation_steps}; the Trainer "
                             "would lose the last batches of a shorter epoch: accumulate 1, with larger batches.")
        batches = getattr(train_dataloader, "batch_sampler", None)
        batches = getattr(batches, "batch_sampler", batches)  # a process's share wraps that of all
        if type(batches) is not BatchSampler:
            raise InputError(f"hooks.{where}: batches come from a {type(batches).__name__}; a data set with a length, and "
                             "batches of a sampler's positions in turn, are needed.")
        if isinstance(batches.sampler, Kept):
            batches.sampler = batches.sampler.inner
        self._loader, self._full = train_dataloader, max(len(train_dataloader), 1)  # updates of an epoch on everything
        epochs = math.ceil(state.max_steps / self._full)
        if isinstance(self.given, dict):
            seed = args.data_seed if args.data_seed is not None else args.seed
            self.schedule = dynamic.of(self.given, n, epochs, seed)
        else:
            self.schedule = copy.deepcopy(self.given)
        if self.schedule.n != n or getattr(self.schedule, "epochs", epochs) != epochs:
            raise InputError(f"hooks.{where}: the schedule is for {self.schedule.n} examples and "
                             f"{getattr(self.schedule, 'epochs', epochs)} epochs, the Trainer has {n} and {epochs}; give a dict.")
        least = min(self.schedule.planned(0, epochs)) if isinstance(self.schedule, dynamic.Dynamic) else n
        self._sampler = batches.sampler = Kept(batches.sampler, np.arange(n) < least)
        positions.updates(train_dataloader, least)
        self._sampler.kept[:] = True
        self._losses, self._divides, self._watch, self.sizes, self._followed = [], None, None, [], None
        self._skipped = self._skipped_since_log = 0
        self._began = self._logged = state.global_step
        if state.global_step:
            stored = recorded.resumed(where, "datadiet_pruning.npz", args, state)
            self.sizes = stored.pop("sizes").tolist()
            self.schedule.load_state_dict(stored)
        if isinstance(self.schedule, dynamic.Soft):
            self._watch = positions.Watch.join(train_dataloader, model, self._see)
        elif self.schedule.rule != "random":
            positions.predict(model, train_dataloader, args, first=args.world_size)
        LOG.warning("DynamicPruningCallback: the learning rate is %s.", RATES[self.lr])

    def on_epoch_begin(self, args, state, control, model=None, **kwargs):
        epoch = self._epoch = state.global_step // self._full
        self._observe()
        if self.schedule.due(epoch) and state.global_step == epoch * self._full:  # not again where an epoch is resumed
            logits, labels = positions.predict(model, self._loader, args)
            self.schedule.update(scores.el2n(runs.probabilities(logits), labels))
        kept = self.schedule.positions(epoch)
        self._sampler.kept[:] = False
        self._sampler.kept[kept] = True
        self.sizes[epoch:] = [len(kept)]
        self._updates = positions.updates(self._loader, len(kept))
        weights = torch.as_tensor(self.schedule.weights(epoch), dtype=torch.float32, device=args.device)
        self._weights = None if bool((weights == 1).all()) else weights

    def on_step_end(self, args, state, control, lr_scheduler=None, **kwargs):
        if self._watch and not self._followed:
            positions.refuse_unseen("DynamicPruningCallback", self._followed is not None)
        self._followed = None
        if self.lr == "adapt" and not isinstance(lr_scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            done = state.global_step - self._epoch * self._full
            for _ in range(done * self._full // self._updates - (done - 1) * self._full // self._updates - 1):
                lr_scheduler.step()

    def on_epoch_end(self, args, state, control, **kwargs):
        if control.should_training_stop:
            return control
        before, after = state.global_step, min((self._epoch + 1) * self._full, state.max_steps)
        self._skipped += after - before
        self._skipped_since_log += after - before
        state.global_step, state.epoch = after, self._epoch + 1.0

        def passed(strategy, every) -> bool:
            return strategy == IntervalStrategy.STEPS and after > before and after // every > before // every

        control.should_save |= passed(args.save_strategy, state.save_steps)
        control.should_save |= args.save_strategy == IntervalStrategy.STEPS and before < after == state.max_steps
        control.should_evaluate |= passed(args.eval_strategy, state.eval_steps)
        control.should_log |= passed(args.logging_strategy, state.logging_steps) and before > self._logged
        return control

    def on_log(self, args, state, control, logs=None, **kwargs):
        counted = {"loss": (self._logged, self._skipped_since_log), "train_loss": (self._began, self._skipped)}
        for name in counted.keys() & (logs or {}).keys():
            since, skipped = counted[name]
            steps = state.global_step - since
            logs[name] *= steps / max(steps - skipped, 1)
            state.log_history[-1][name] = logs[name]
        if logs and "loss" in logs:
            self._logged, self._skipped_since_log = state.global_step, 0

    def on_save(self, args, state, control, **kwargs):
        self._observe()
        if state.is_world_process_zero:
            np.savez(recorded.beside("DynamicPruningCallback", "datadiet_pruning.npz", args, state), **self.schedule.state_dict(),
                     sizes=np.array(self.sizes, np.int64))

    def on_train_end(self, args, state, control, model=None, **kwargs):
        if self._watch:
            self._watch.leave(model, self._see)

    def _observe(self):
        """Show the schedule the losses of the updates so far, of all processes."""
        if isinstance(self.schedule, dynamic.Soft):
            own = [np.empty(0, np.int64)] * 2
            if self._losses:
                own = [torch.cat(each).cpu().numpy() for each in zip(*self._losses, strict=True)]
            where, losses = positions.gathered(*own)
            if len(where):
                self.schedule.observe(where, losses)
            self._losses = []

    def _see(self, where, inputs, outputs):
        """Weigh the loss of a training batch, and keep the losses of its examples."""
        logits, labels = positions.logits_and_labels(inputs, outputs)
        losses = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")
        sizes = [inputs["num_items_in_batch"]] if inputs.get("num_items_in_batch") is not None else []
        sizes.append(len(losses))  # a model divides by one of these
        if self._divides is None:  # found out at the first batch
            own, loss = losses.detach().sum(), outputs.loss.detach().float()
            self._divides = next((i for i, size in enumerate(sizes) if torch.allclose(own / size, loss, rtol=1e-2)), None)
            if self._divides is None:
                raise InputError(f"hooks.DynamicPruningCallback: the model's loss is {loss.item():.4g} but the mean "
                                 f"cross-entropy of its logits {own.item() / len(losses):.4g}; Soft weighs cross-entropy only: "
                                 "choose a rule of Dynamic.")
        self._losses.append((where, losses.detach()))
        if self._weights is not None:
            outputs["loss"] = (self._weights[where] * losses).sum() / sizes[self._divides]
        self._followed = False  # until the gradient of the update comes through the loss as it is left here
        outputs.loss.register_hook(lambda gradient: setattr(self, "_followed", True))
