"""The callbacks for the HF Trainer: positions, scores over time, pruning, resuming, two processes."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import datasets
import hooked
import numpy as np
import pandas as pd
import pytest
import torch
from transformers import Trainer
from transformers.modeling_outputs import SequenceClassifierOutput

from datadiet import dynamic, prune, runs, scores
from datadiet.errors import InputError
from datadiet.hooks import DynamicPruningCallback, ScoreCallback

REAL = datasets.Value("float32")
ROOT = Path(__file__).resolve().parent.parent


def by_hand(model) -> np.ndarray:
    """Logits of the data set, one row at a time."""
    model.eval()
    with torch.no_grad():
        return np.concatenate([model(torch.tensor([row])).logits.numpy() for row in hooked.data()["input_ids"]])


# --- Scores


def test_recording_leaves_the_training_as_it_is_to_the_bit(tmp_path):
    plain = hooked.trainer(tmp_path, net=hooked.model(dropout=0.1))
    plain.train()
    watched = hooked.trainer(tmp_path, [ScoreCallback(), ScoreCallback(source="training")], net=hooked.model(dropout=0.1))
    watched.train()
    assert (hooked.weights(plain.model) == hooked.weights(watched.model)).all()
    assert not watched.model._forward_hooks and not watched.model._forward_pre_hooks


def test_scores_stand_in_the_order_of_the_data_set_and_are_those_of_the_model(tmp_path):
    """Peers' complaint: the id of an example vanishes as unused columns are removed."""
    data, callback = hooked.data(), ScoreCallback(out=tmp_path / "scores.parquet", ids=hooked.data()["id"])
    run = hooked.trainer(tmp_path, [callback])
    run.train()
    assert run.args.remove_unused_columns and callback.points == [(6, 1), (12, 2), (18, 3), (24, 4)]
    assert np.allclose(callback.logits[-1], by_hand(run.model), atol=1e-5)
    written = pd.read_parquet(tmp_path / "scores.parquet")
    assert written["id"].tolist() == data["id"][:] and written["label"].tolist() == data["labels"][:]
    probs, right = runs.probabilities(callback.logits), callback.logits.argmax(-1) == callback.labels
    assert np.allclose(written["el2n"], np.mean([scores.el2n(each, callback.labels) for each in probs], axis=0))
    assert np.allclose(written["aum"], scores.aum(callback.logits, callback.labels))
    assert np.array_equal(written["forgetting"], scores.forgetting(right))
    assert np.allclose(callback.scores(["el2n"], at=[0])["el2n"], scores.el2n(probs[0], callback.labels))


def test_points_may_be_steps(tmp_path):
    callback, ends = ScoreCallback(at=[0, 3, 24, 99]), ScoreCallback()
    net = hooked.model()
    start = by_hand(net)
    hooked.trainer(tmp_path, [callback, ends], net=net).train()
    assert [step for step, _ in callback.points] == [0, 3, 24]
    assert np.allclose(callback.logits[0], start, atol=1e-5) and (callback.logits[-1] == ends.logits[-1]).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_logits_of_the_training_passes_go_to_their_examples(tmp_path, workers):
    """With a learning rate of 0 the model stands still, and training passes give what a pass in eval mode gives."""
    free, passed = ScoreCallback(source="training"), ScoreCallback()
    hooked.trainer(tmp_path, [free, passed], learning_rate=0.0, num_train_epochs=2, dataloader_num_workers=workers).train()
    assert np.allclose(free.logits, passed.logits, atol=1e-5) and (free.labels == hooked.data()["labels"]).all()
    assert len(np.unique(free.logits[0], axis=0)) == hooked.N


def test_batches_of_evaluation_are_no_training_batches(tmp_path):
    """With evaluation after every update, of more examples than there are to train on, recordings and weights stay the same."""
    ends = []
    for changes in ({}, {"eval_strategy": "steps", "eval_steps": 1}):
        free, pruning = ScoreCallback(source="training"), DynamicPruningCallback({"rule": "soft"})
        run = hooked.trainer(tmp_path, [free, pruning], test=hooked.data(100, seed=1), **changes)
        run.train()
        ends.append((hooked.weights(run.model), free._kept._logits, pruning.sizes))
    assert (ends[0][0] == ends[1][0]).all() and ends[0][2] == ends[1][2]
    assert np.array_equal(ends[0][1], ends[1][1], equal_nan=True)


def test_examples_that_no_batch_held_are_said(tmp_path):
    free = ScoreCallback(source="training")
    hooked.trainer(tmp_path, [free], train=hooked.data(45), dataloader_drop_last=True, num_train_epochs=1).train()
    with pytest.raises(InputError, match="5 of 45 examples were not in a training batch in recording 0"):
        free.scores()


def test_a_training_that_is_done_is_not_lost_over_its_scores(tmp_path, caplog):
    """Stopped within an epoch, whose part is no recording; pruned, so that a recording lacks examples and is not written."""
    part = ScoreCallback(tmp_path / "part.csv", source="training")
    assert hooked.trainer(tmp_path, [part], max_steps=9).train().global_step == 9
    assert part.points == [(6, 1.0)] and part.logits.shape == (1, 48, 3) and (tmp_path / "part.csv").exists()
    assert "stopped within an epoch, at step 9" in caplog.text
    less = ScoreCallback(tmp_path / "less.csv", source="training")
    pruning = DynamicPruningCallback({"rule": "random", "fraction": 0.5})
    assert hooked.trainer(tmp_path, [less, pruning], num_train_epochs=2).train().global_step == 12
    assert "no scores were written" in caplog.text and "24 of 48 examples were not" in caplog.text
    assert not list(tmp_path.glob("less.csv*"))


@pytest.mark.parametrize(
    "given, said",
    [
        ({"out": "scores.xlsx"}, "must end in"),
        ({"out": "nowhere/at/all.csv"}, "no folder"),
        ({"source": "dream"}, "'pass' or"),
        ({"at": "step"}, "'epoch' or"),
        ({"at": [0.5]}, "'epoch' or"),
        ({"at": 5}, "'epoch' or"),
        ({"at": ["a"]}, "'epoch' or"),
        ({"at": [[1, 2], [3]]}, "'epoch' or"),
        ({"out": 5}, "out=5; give the path"),
        ({"source": np.array(["pass", "training"])}, "'pass' or"),
        ({"ids": 5}, "ids are of type int; give a sequence"),
        ({"at": [1], "source": "training"}, "once an epoch"),
        ({"ids": {"a", "b"}}, "ids are of type set"),
        ({"ids": pd.DataFrame({"id": [1]})}, "ids are of type DataFrame"),
        ({"ids": ["a", 1], "out": "scores.parquet"}, "scores.parquet cannot hold the ids"),
    ],
)
def test_settings_that_cannot_be(given, said):
    with pytest.raises(InputError, match=said):
        ScoreCallback(**given)


def test_an_output_that_exists_is_refused_before_training(tmp_path):
    (tmp_path / "scores.csv").write_text("mine")
    with pytest.raises(InputError, match="exists"):
        ScoreCallback(out=tmp_path / "scores.csv")
    hooked.trainer(tmp_path, [ScoreCallback(out=tmp_path / "scores.csv", force=True)], num_train_epochs=1).train()
    assert len(pd.read_csv(tmp_path / "scores.csv")) == hooked.N
    with pytest.raises(InputError, match="2 ids for 48"):
        hooked.trainer(tmp_path, [ScoreCallback(ids=["a", "b"])]).train()
    with pytest.raises(InputError, match="nothing was recorded"):
        ScoreCallback().scores()


def test_labels_that_do_not_reach_the_model_are_said(tmp_path):
    with pytest.raises(InputError, match="label_smoothing_factor"):
        hooked.trainer(tmp_path, [DynamicPruningCallback({"rule": "soft"})], label_smoothing_factor=0.1).train()


@pytest.mark.parametrize("callback", [ScoreCallback, lambda: DynamicPruningCallback({"rule": "hardest"})])
def test_a_model_that_cannot_be_scored_is_refused_before_training(tmp_path, callback):
    run = hooked.trainer(tmp_path, [callback()], net=hooked.model(classes=1), train=hooked.data().cast_column("labels", REAL))
    with pytest.raises(InputError, match=r"labels of shape \(1,\) and returned logits of shape \(1, 1\)"):
        run.train()
    assert run.state.global_step == 0


class OwnLoss(Trainer):
    """Two of compute_loss as people write it: inputs by name, another loss."""

    how = None

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if self.how == "named":
            return model(input_ids=inputs["input_ids"], labels=inputs["labels"]).loss
        return torch.nn.functional.cross_entropy(model(**inputs).logits, inputs["labels"])


@pytest.mark.parametrize(
    "how, callback, said",
    [
        ("named", lambda: ScoreCallback(source="training"), "no batch with its positions went through the model"),
        ("named", lambda: DynamicPruningCallback({"rule": "soft"}), "no batch with its positions went through the model"),
        ("another", lambda: DynamicPruningCallback({"rule": "soft"}), "another loss than the model's own"),
    ],
)
def test_a_compute_loss_that_goes_past_a_callback_is_said(tmp_path, how, callback, said):
    run = hooked.trainer(tmp_path, [callback()], kind=OwnLoss)
    run.how = how
    with pytest.raises(InputError, match=said):
        run.train()
    assert run.state.global_step == 1


class Plain(torch.nn.Module):
    """A model that takes no more than it names."""

    def __init__(self):
        super().__init__()
        self.words, self.head = torch.nn.Embedding(hooked.WORDS, 4), torch.nn.Linear(4, hooked.CLASSES)

    def forward(self, input_ids):
        return SequenceClassifierOutput(logits=self.head(self.words(input_ids).mean(1)))


class Heavier(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(inputs["input_ids"])
        return (inputs["weight"] * torch.nn.functional.cross_entropy(outputs.logits, inputs["labels"], reduction="none")).mean()


def test_a_column_for_the_loss_alone_does_not_reach_the_model(tmp_path):
    data, passed, pruning = hooked.data().remove_columns("id"), ScoreCallback(), DynamicPruningCallback({"rule": "hardest"})
    data = data.add_column("weight", np.ones(len(data), np.float32))
    run = hooked.trainer(tmp_path, [passed, pruning], net=Plain(), train=data, kind=Heavier, remove_unused_columns=False)
    run.train()
    assert np.allclose(passed.logits[-1], run.model(torch.tensor(data["input_ids"][:])).logits.detach(), atol=1e-5)
    assert passed.labels.tolist() == data["labels"][:] and pruning.sizes == [48, 24, 24, 24]


@pytest.mark.parametrize("callback", [ScoreCallback, lambda: DynamicPruningCallback({"rule": "random"})])
def test_a_training_set_without_positions_is_said(tmp_path, callback):
    with pytest.raises(InputError, match="of type IterableDataset, without a length"):
        hooked.trainer(tmp_path, [callback()], train=hooked.data().to_iterable_dataset(), max_steps=4).train()


def test_ids_of_a_tensor_are_numbers_in_the_table(tmp_path):
    hooked.trainer(tmp_path, [ScoreCallback(tmp_path / "s.csv", ids=torch.arange(48) + 7)], num_train_epochs=1).train()
    assert pd.read_csv(tmp_path / "s.csv")["id"].tolist() == list(range(7, 55))


# --- Pruning


class Order(hooked.ScoreCallback):
    """Notes the positions of the batches that are trained on."""

    def on_train_begin(self, args, state, control, **kwargs):
        super().on_train_begin(args, state, control, **kwargs)
        self.trained = []

    def _see(self, where, inputs, outputs):
        super()._see(where, inputs, outputs)
        self.trained.append(where.tolist())


def test_an_epoch_is_the_trainers_own_order_without_what_is_left_out(tmp_path):
    whole, some = Order(source="training"), Order(source="training")
    hooked.trainer(tmp_path, [whole]).train()
    pruning = DynamicPruningCallback({"rule": "random", "fraction": 0.5}, lr="keep")
    hooked.trainer(tmp_path, [some, pruning]).train()
    assert pruning.sizes == [48, 24, 24, 24]
    all_of = np.concatenate(whole.trained).reshape(4, -1)
    expected = [[p for p in all_of[e] if p in pruning.schedule.positions(e)] for e in range(4)]
    assert sum(some.trained, []) == sum(expected, []) and len(some.trained) == 6 + 3 * 3


def test_a_cycle_keeps_the_hardest_for_the_model_as_it_is_then(tmp_path):
    order, passed = Order(source="training"), ScoreCallback()
    hooked.trainer(tmp_path, [order, passed, DynamicPruningCallback({"rule": "hardest", "fraction": 0.25, "every": 1})]).train()
    batches = np.split(np.concatenate(order.trained), [48, 60, 72])
    for epoch in (1, 2, 3):
        el2n = scores.el2n(runs.probabilities(passed.logits[epoch - 1]), passed.labels)
        assert sorted(batches[epoch]) == prune.keep(el2n, 0.25).tolist()


class Rates(hooked.ScoreCallback):
    """Notes the learning rate of each update."""

    rates: list

    def on_step_begin(self, args, state, control, lr_scheduler=None, **kwargs):
        self.rates = [*getattr(self, "rates", []), lr_scheduler.get_last_lr()[0]]


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant_with_warmup"])
def test_the_learning_rate_is_adapted_or_explicitly_not(tmp_path, caplog, schedule):
    """Peers' question: what becomes of the schedule when epochs are shorter? The first epoch is as it would have been."""
    seen = {}
    for name, callbacks in (
        ("none", []),
        ("adapt", [DynamicPruningCallback({"rule": "random"})]),
        ("keep", [DynamicPruningCallback({"rule": "random"}, lr="keep")]),
    ):
        rates = Rates()
        with caplog.at_level(logging.WARNING):
            run = hooked.trainer(tmp_path, [rates, *callbacks], lr_scheduler_type=schedule, warmup_steps=5)
            run.train()
        seen[name] = rates.rates
        assert run.lr_scheduler.last_epoch == (15 if name == "keep" else 24)
    whole = np.array(seen["none"])
    assert seen["adapt"] == whole[[0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 22]].tolist()
    assert seen["keep"] == whole[:15].tolist()
    assert "adapted to the shorter epochs (lr='adapt')" in caplog.text and "not adapted" in caplog.text


def test_soft_weighs_the_loss_and_the_first_epoch_is_a_plain_one(tmp_path):
    """The slow truth: the same batches by hand. In the first epoch nothing is doubled."""
    order, pruning = Order(source="training"), DynamicPruningCallback({"rule": "soft"})
    run = hooked.trainer(tmp_path, [order, pruning], lr_scheduler_type="constant", max_grad_norm=0.0, optim="sgd")
    run.train()
    assert pruning.sizes[0] == pruning.sizes[3] == 48 and 24 <= pruning.sizes[1] < 48
    net, rows, labels = hooked.model(), torch.tensor(hooked.data()["input_ids"][:]), torch.tensor(hooked.data()["labels"][:])
    schedule, trained, logged = dynamic.Soft(48, 4, seed=run.args.seed), list(order.trained), []
    descent = torch.optim.SGD(net.parameters(), 5e-3)
    for epoch in range(4):
        left, weights = len(schedule.positions(epoch)), schedule.weights(epoch)
        assert epoch or (weights == 1).all()
        while left > 0:
            batch = trained.pop(0)
            losses = torch.nn.functional.cross_entropy(net(rows[batch]).logits, labels[batch], reduction="none")
            loss = (torch.tensor(weights[batch], dtype=torch.float32) * losses).mean()
            descent.zero_grad(), loss.backward(), descent.step()
            logged.append(loss.item())
            schedule.observe(batch, losses.detach())
            left -= len(batch)
        assert left == 0
    assert not trained and np.allclose(hooked.weights(net), hooked.weights(run.model), atol=1e-5)
    assert np.allclose([entry["loss"] for entry in run.state.log_history if "loss" in entry], logged, atol=1e-3)


@pytest.mark.parametrize("every", [1, 4])
def test_the_logged_loss_is_that_of_the_updates_made(tmp_path, every):
    steps = DynamicPruningCallback({"rule": "random"})
    run = hooked.trainer(tmp_path, [steps], logging_steps=1, learning_rate=0.0)
    run.train()
    ones = [entry["loss"] for entry in run.state.log_history if "loss" in entry]
    again = hooked.trainer(tmp_path, [DynamicPruningCallback({"rule": "random"})], logging_steps=every, learning_rate=0.0)
    again.train()
    losses = [entry["loss"] for entry in again.state.log_history if "loss" in entry]
    assert len(ones) == 15 and min(ones) - 1e-3 <= min(losses) and max(losses) <= max(ones) + 1e-3
    assert again.state.log_history[-1]["train_loss"] == pytest.approx(np.mean(ones), abs=1e-3)


@pytest.mark.parametrize("rule", ["hardest", "soft", "random"])
@pytest.mark.parametrize("stop", [6, 8, 13, 18])
def test_resumed_is_uninterrupted(tmp_path, rule, stop):
    """Stopped at the end of an epoch, in a full one and in a shorter one; both callbacks go on."""

    def made(folder, **changes):
        callbacks = [
            DynamicPruningCallback({"rule": rule, "fraction": 0.5} if rule != "soft" else {"rule": rule}),
            ScoreCallback(),
            ScoreCallback(source="training"),
        ]
        return (
            callbacks[0],
            callbacks[1],
            hooked.trainer(
                tmp_path / folder, callbacks, net=hooked.model(dropout=0.1), save_strategy="steps", save_steps=1, **changes
            ),
        )

    pruning, passed, whole = made("whole")
    whole.train()
    checkpoints = {int(path.name.split("-")[1]) for path in (tmp_path / "whole").iterdir()}
    assert {stop, 24} <= checkpoints
    pruning_2, passed_2, resumed = made("whole")
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{stop}"))
    assert pruning_2.sizes == pruning.sizes and resumed.state.global_step == 24
    assert (hooked.weights(whole.model) == hooked.weights(resumed.model)).all()
    assert (passed.logits == passed_2.logits).all() and passed.points == passed_2.points
    assert resumed.lr_scheduler.last_epoch == whole.lr_scheduler.last_epoch == 24


def test_a_checkpoint_without_the_callback_is_said(tmp_path):
    hooked.trainer(tmp_path, save_strategy="epoch").train()
    for callback in (ScoreCallback(), DynamicPruningCallback({"rule": "random"})):
        with pytest.raises(InputError, match="written without this callback"):
            hooked.trainer(tmp_path, [callback]).train(resume_from_checkpoint=str(tmp_path / "checkpoint-12"))


def test_steps_that_fall_into_a_gap_are_saved_and_evaluated_at_its_end(tmp_path):
    pruning = DynamicPruningCallback({"rule": "random", "fraction": 0.25})  # two updates an epoch
    run = hooked.trainer(tmp_path, [pruning], save_strategy="steps", save_steps=5)
    run.train()
    assert {path.name for path in tmp_path.iterdir()} == {
        "checkpoint-5",
        "checkpoint-12",
        "checkpoint-18",
        "checkpoint-20",
        "checkpoint-24",
    }


@pytest.mark.parametrize(
    "schedule, changes, said",
    [
        ({"rule": "random"}, {"gradient_accumulation_steps": 2}, "gradient_accumulation_steps=2"),
        (dynamic.Dynamic(47), {}, "for 47 examples"),
        (dynamic.Soft(48, epochs=3), {}, "3 epochs, the Trainer has 48 and 4"),
        ({"rule": "random"}, {"torch_compile": True}, "torch_compile"),
    ],
)
def test_trainings_that_cannot_be_pruned(tmp_path, schedule, changes, said):
    callback = DynamicPruningCallback(schedule)
    trainer = hooked.trainer(tmp_path, [callback])
    for name, value in changes.items():
        setattr(trainer.args, name, value)
    with pytest.raises(InputError, match=said):
        trainer.train()


@pytest.mark.parametrize(
    "given, said",
    [
        (({"rule": "hardest", "reuse": True},), "leave out"),
        (("soft",), "give a dict"),
        (({"rule": "soft"}, "half"), "lr='half'"),
        (({"rule": "soft"}, np.array(["adapt", "keep"])), "lr=array"),
        (({"rule": "none"},), "unknown rule"),
    ],
)
def test_schedules_that_are_none(given, said):
    with pytest.raises(InputError, match=said):
        DynamicPruningCallback(*given)


def test_a_loss_of_another_kind_is_refused_for_soft(tmp_path):
    def double(model, inputs, outputs):
        outputs["loss"] = 2 * outputs.loss

    net = hooked.model()
    net.register_forward_hook(double)
    with pytest.raises(InputError, match="Soft weighs cross-entropy only"):
        hooked.trainer(tmp_path, [DynamicPruningCallback({"rule": "soft"})], net=net).train()


def test_epochs_without_a_whole_batch_are_refused_before_training(tmp_path):
    """The Trainer would end the training there, as if it were done."""
    for warmup in (1, 9):
        pruning = DynamicPruningCallback({"rule": "random", "fraction": 0.1, "warmup": warmup})
        run = hooked.trainer(tmp_path, [pruning], dataloader_drop_last=True)
        if warmup == 1:
            with pytest.raises(InputError, match="an epoch of 5 examples has no whole batch"):
                run.train()
        else:  # never pruned
            run.train()
        assert run.state.global_step == (0 if warmup == 1 else 24)


def test_a_second_training_starts_afresh(tmp_path):
    callback, passed = DynamicPruningCallback(dynamic.Dynamic(48)), ScoreCallback()
    for _ in range(2):
        hooked.trainer(tmp_path, [callback, passed]).train()
        assert callback.sizes == [48, 24, 24, 24] and len(passed.points) == 4


# --- Two processes

TORCHRUN = "torch.distributed.run --standalone --nproc_per_node 2"
# On one machine accelerate starts several processes only under this flag, whatever they compute on.
ACCELERATE = (
    "accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend "
    "no --main_process_port 0"
)


def run_apart(command, env) -> None:
    """Run a command that starts processes of its own; none of them outlives it."""
    with subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as ran:
        try:
            said = ran.communicate(timeout=120)[1]
        except subprocess.TimeoutExpired:
            os.killpg(ran.pid, signal.SIGKILL)
            raise
    assert ran.returncode == 0, said[-3000:]


@pytest.mark.parametrize(
    "rule, source, launcher",
    [("none", "pass", ACCELERATE), ("hardest", "training", TORCHRUN), ("soft", "pass", TORCHRUN)],
    ids=["accelerate", "hardest", "soft"],
)
def test_two_processes_give_what_one_gives(tmp_path, alone, rule, source, launcher):
    env = alone | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
    }
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    hooked.once(tmp_path / "one", rule, 1, source)
    run_apart(
        [sys.executable, "-m", *launcher.split(), str(ROOT / "tests" / "hooked.py"), str(tmp_path / "two"), rule, "2", source],
        env,
    )
    one, two = (np.load(tmp_path / folder / "end.npz") for folder in ("one", "two"))
    assert np.allclose(one["logits"][0], two["logits"][0], atol=1e-3) and one["sizes"][:2].tolist() == two["sizes"][:2].tolist()
    if (
        rule == "soft"
    ):  # sizes that no batch divides: the Trainer repeats examples until its processes have as many, and the runs part
        return
    assert np.allclose(one["weights"], two["weights"], atol=1e-4)
    assert np.allclose(one["logits"], two["logits"], atol=1e-3, equal_nan=True)
    if rule == "none":
        tables = [pd.read_parquet(tmp_path / folder / "scores.parquet") for folder in ("one", "two")]
        assert tables[0]["id"].tolist() == tables[1]["id"].tolist() == hooked.data()["id"][:]
        for name in tables[0].columns[1:]:
            assert np.allclose(tables[0][name], tables[1][name], atol=1e-3), name
