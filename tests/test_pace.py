"""A budget of models that train on the rows: what is planned, and what happens where training is slower than that."""

import numpy as np
import pandas as pd
import pytest

from datadiet import runs, tables
from datadiet.audit import engine, pace, trained, tuned
from datadiet.audit.clock import OVER
from datadiet.cli import doors
from datadiet.errors import InputError
from datadiet.training import loop


class Slow:
    """A clock that stands still but for training, which is pretended: `each` seconds an epoch, or a list, one after the other."""

    def __init__(self, monkeypatch, planned: float, each):
        self.now, self.made, self.each = 0.0, [], each
        monkeypatch.setattr("datadiet.audit.clock.time.monotonic", lambda: self.now)
        monkeypatch.setattr(pace, "of_updates", lambda config, task, seed=0: planned / 5 / (1 + trained.SCORING))  # 5 updates
        monkeypatch.setattr(trained, "_run", self.run)

    def run(self, config, task, progress, going_on, begun):
        for done in range(1, config["epochs"] + 1):
            self.now += self.each[min(len(self.made), len(self.each) - 1)] if isinstance(self.each, list) else self.each
            self.made.append(config["epochs"])
            if not going_on(done, dict):
                break
        draw, n = np.random.default_rng(len(self.made)), len(task.train)
        names = [name for name in trained.NAMES if done > 1 or name not in trained.OVER_TIME]
        return {name: draw.normal(size=n) for name in names}, draw.dirichlet(np.ones(2), n), done


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    words = {"weather": "rain sun cloud wind storm".split(), "music": "song band tune drum choir".split()}
    kinds = rng.choice(list(words), 80)
    lines = ["text,kind"] + [f"{' '.join(rng.choice(words[kind], 3))},{kind}" for kind in kinds]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    return tables.read(tmp_path / "a.csv")


def score(table, **options):
    return trained.score(table, text="text", label="kind", encoder="tiny", **options)


@pytest.mark.parametrize("slower", [0.5, 1.0, 1.3, 1.7, 2.5, 3.3])
@pytest.mark.parametrize("planned", [4.0, 12.0, 20.0])
def test_a_budget_is_kept_within_a_fifth(table, monkeypatch, planned, slower):
    clock = Slow(monkeypatch, planned, planned * slower)
    audit = score(table, seconds=60.0)
    assert clock.now <= (1 + OVER) * 60.0 and audit.how["seconds"] == pytest.approx(clock.now, abs=0.1), clock.made
    assert 1 <= audit.how["epochs"] <= 5
    if slower <= 1:
        assert audit.how["copies"] == 1 and "slower" not in " ".join(audit.warnings)
        assert clock.now > 0.5 * 60.0
    if slower > 2 and planned == 4.0:
        assert any("Training was slower than its first updates" in said for said in audit.warnings)
    if not audit.how["copies"]:
        assert any("no copy with planted flips" in said for said in audit.warnings) and np.isnan(audit.wrong).all()


def test_the_copy_ends_where_time_does(table, monkeypatch):
    clock = Slow(monkeypatch, 4.0, [4.0] * 5 + [20.0, 25.0])  # the machine is needed elsewhere while the copy is trained
    audit = score(table, seconds=60.0)
    assert audit.how["epochs"] == 5 and audit.how["models"] == 1 and clock.now <= (1 + OVER) * 60.0
    assert any("trained for 2 of 5 epochs" in said for said in audit.warnings) and np.isfinite(audit.wrong).all()


def test_an_epoch_that_does_not_fit_is_refused_before_it_is_made(table, monkeypatch):
    clock = Slow(monkeypatch, 80.0, 80.0)
    with pytest.raises(InputError, match="about 80 s for one epoch here, and --budget leaves 60 s; give --budget 4min"):
        score(table, seconds=60.0)
    assert not clock.made
    assert score(table, seconds=240.0).how["epochs"] == 1


def test_forgetting_that_is_asked_for_gets_its_two_epochs(table, monkeypatch):
    Slow(monkeypatch, 4.0, 40.0)
    audit = score(table, seconds=60.0, score="forgetting")
    assert audit.used == "forgetting" and audit.how["epochs"] == 2 and np.isnan(audit.wrong).all()


MIDDLE = tuned.Middle.prefix


class Rounds:
    """A clock that stands still but for fine-tuned models, pretended: `each` seconds an epoch over all rows, or a list, model by
    model; `planned` by each timing of a few updates, which takes `timing` seconds. `middle` seconds an epoch of the middle
    layers; where None, the encoder is of a make that has none."""

    def __init__(self, monkeypatch, planned, each, timing=0.0, middle=None):
        self.now, self.made, self.timings, self.each, self.stop = 0.0, [], 0, each, None
        self.planned, self.timing, self.middle, self.begun = planned, timing, middle, 0
        if middle is None:
            monkeypatch.setattr("datadiet.training.middle.blank", lambda problem: None)
        monkeypatch.setattr("datadiet.training.middle.fill", self.fill)
        monkeypatch.setattr("datadiet.audit.clock.time.monotonic", lambda: self.now)
        monkeypatch.setattr(pace, "of_updates", self.of_updates)
        monkeypatch.setattr(tuned, "_fold", self.fold)

    def at(self, listed, k: int) -> float:
        return listed[min(k, len(listed) - 1)] if isinstance(listed, list) else listed

    def of_updates(self, config, task, seed=0, problem=None):
        updates = loop.updates_per_epoch(len(task.train), config["batch_size"])
        if config["learning_rate"] == tuned.MIDDLE["learning_rate"]:
            return self.middle / updates
        self.timings, self.now = self.timings + 1, self.now + self.timing
        return self.at(self.planned, self.timings - 1) / updates

    def fill(self, problem, examples):
        self.begun += 1
        self.now += tuned.SCORING * self.middle

    def fold(self, way, epochs, fold, held, seed):
        if len(self.made) == self.stop:
            raise KeyboardInterrupt
        trained_on, rest = float((fold != held).mean()), float((fold == held).mean())
        each = self.middle if way.prefix else self.at(self.each, len(self.made))
        self.now += each * (epochs * trained_on + tuned.SCORING * rest)
        self.made.append((way.prefix, int(fold.max()) + 1, round(epochs, 1))[0 if way.prefix else 1 :])
        own = np.eye(2)[way.task.train.labels[fold == held]]
        draw = np.random.default_rng(seed).dirichlet(np.ones(2), len(own))
        return {"probs": (draw + own) / 2}


def audited(table, budget: float):
    return engine.of_table(table, text="text", label="kind", encoder="tiny", budget=budget)


@pytest.mark.parametrize("budget, made", [
    (1.0, []), (3.8, []), (4.0, [(2, 2.1)] * 2), (7.2, [(2, 3.0)] * 2), (8.2, [(3, 2.3)] * 3), (13.0, [(3, 3.0)] * 3),
    (15.0, [(3, 2.2)] * 6), (20.0, [(3, 2.9)] * 3 + [(3, 3.0)] * 3), (100.0, [(3, 3.0)] * 15),
])  # fmt: skip
def test_rounds_of_fine_tuned_models_fill_the_budget(table, monkeypatch, budget, made):
    """At 1.5 seconds an epoch over all rows; nine tenths of what is left are planned for, a round at most three epochs long."""
    clock = Rounds(monkeypatch, 1.5, 1.5)
    audit = audited(table, budget)
    assert clock.made == made and clock.now <= budget
    rounds = [name for name in audit.how["members"] if name.startswith("fine-tuned")]
    assert rounds == [f"fine-tuned {number + 1}" for number in range(round(sum(1 / folds for folds, _ in made)))]
    assert audit.how.get("epochs") == (made[0][1] if made else None)
    enough = [word for said in audit.warnings if "no model was fine-tuned" in said for word in said.split() if word[0].isdigit()]
    assert enough == (["10s"] if not made else [])  # two epochs of a round take 6.5 s, and nine tenths are planned for


@pytest.mark.parametrize("budget, made", [
    (1.4, []), (1.5, [(MIDDLE, 2, 2.1)] * 2), (2.5, [(MIDDLE, 2, 3.0)] * 2), (2.7, [(MIDDLE, 3, 2.1)] * 3), (4.0, [(2, 2.1)] * 2),
    (8.2, [(3, 2.3)] * 3),
])  # fmt: skip
def test_where_the_whole_encoder_takes_too_long_its_middle_layers_are_trained(table, monkeypatch, budget, made):
    """At 1.5 seconds an epoch of the whole encoder, 0.5 of its middle layers, whose input takes a sixth of a second, once."""
    clock = Rounds(monkeypatch, 1.5, 1.5, middle=0.5)
    audit = audited(table, budget)
    assert clock.made == made and clock.now <= budget
    assert clock.begun == (MIDDLE in [name for name, *_ in made]), "what the layers below give is computed once"
    assert ("fine-tuned 1" in audit.how["members"]) == bool(made)
    said = [said for said in audit.warnings if "For want of time" in said]
    what = "no model was fine-tuned" if not made else "only the middle layers of the encoder were fine-tuned"
    assert [what in each and "--budget 10s has room for" in each for each in said] == [True] * (budget < 4)


@pytest.mark.parametrize("middle, timings", [(0.5, 1), (4.0, 0)])
def test_the_whole_encoder_is_not_timed_where_its_middle_layers_show_that_it_takes_too_long(table, monkeypatch, middle, timings):
    """Half of the rows for two epochs: (2 + 1/3) of an epoch of 4 s, and 4/3 s for the layers below, make 1.5 times 10.7 s."""
    clock = Rounds(monkeypatch, 1.5, 1.5, middle=middle)
    audited(table, 15.0)
    assert clock.timings == timings


@pytest.mark.parametrize("each", [0.4, 1.3, 2.0, 4.0, [1, 1, 3], [1, 3, 1], [1, 1, 1, 4], [1.0] * 5 + [2.5]])
def test_fine_tuning_that_is_slower_than_planned_keeps_the_budget(table, monkeypatch, each):
    clock = Rounds(monkeypatch, 1.5, [1.5 * one for one in each] if isinstance(each, list) else 1.5 * each)
    audit = audited(table, 30.0)
    assert clock.now <= (1 + OVER) * 30.0, clock.made
    assert "fine-tuned 1" in audit.how["members"] or each == 4.0, clock.made


def test_a_processor_that_is_taken_while_updates_are_timed_is_not_a_slow_one(table, monkeypatch):
    """The first timing says that two epochs take ten times the budget; another one shows that they fit."""
    clock = Rounds(monkeypatch, [50.0, 1.5], 1.5, timing=0.5)
    assert "fine-tuned 1" in audited(table, 20.0).how["members"] and clock.timings == 2


@pytest.mark.parametrize("timing, timings", [(0.5, 4), (1.0, 2), (3.0, 1)])
def test_updates_are_timed_again_for_a_tenth_of_the_time_there_is(table, monkeypatch, timing, timings):
    clock = Rounds(monkeypatch, 50.0, 1.5, timing=timing)
    assert "fine-tuned 1" not in audited(table, 20.0).how["members"] and clock.timings == timings


def test_rounds_that_were_finished_when_a_call_is_stopped_by_hand_count(table, monkeypatch):
    clock = Rounds(monkeypatch, 1.5, 1.5)
    clock.stop = 5
    audit = audited(table, 1000.0)
    assert clock.made == [(3, 3.0)] * 5 and list(audit.how["members"])[-1] == "fine-tuned 1"
    assert any("Stopped by hand while models were fine-tuned" in said for said in audit.warnings)


def test_a_processor_that_is_taken_for_a_moment_is_not_a_slow_one(table, monkeypatch):
    """Each timed update but the first takes a tenth of a second; one in four waits for ten seconds more."""
    task, _, _ = trained.as_task(table, "text", "kind")
    config, now, updates = runs.config(task=task.name, encoder="tiny", quick=True, batch_size=16), [0.0], []
    update = loop.Loop.update

    def slow(self, *given):
        updates.append(1)
        now[0] += 5.0 if len(updates) == 1 else 10.1 if len(updates) % 4 == 0 and len(updates) < 6 else 0.1
        return update(self, *given)

    monkeypatch.setattr(loop.Loop, "update", slow)
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    assert pace.of_updates(config, task) == pytest.approx(0.1) and len(updates) == 1 + pace.TIMES * pace.TIMED


def test_batches_that_are_timed_stand_for_all(table):
    task, _, _ = trained.as_task(table, "text", "kind")
    assert 0 < pace.of_updates(runs.config(task=task.name, encoder="tiny", quick=True, batch_size=16), task) < 5
    seed = np.random.default_rng().integers(1_000_000)
    sizes = np.random.default_rng(seed).lognormal(4, 1, 500).astype(int)
    picked = pace.spread([(int(size), int(size)) for size in sizes])
    assert len(picked) == pace.TIMED + 1 and sorted(picked[1:]) == picked[1:]
    ranks = np.searchsorted(np.sort(sizes), picked[1:]) / len(sizes)
    assert np.abs(ranks - (np.arange(pace.TIMED) + 0.5) / pace.TIMED).max() < 0.05, f"seed {seed}"


def test_epochs_that_end_early_are_recorded_as_far_as_they_went(table):
    task, _, _ = trained.as_task(table, "text", "kind")
    config = runs.config(task=task.name, encoder="tiny", epochs=3, score_at=["1ep", "2ep", "3ep"], watch=True, quick=True)
    whole, short = loop.fit(config, task), loop.fit(config, task, going_on=lambda done, state: done < 2)
    assert short.metrics["updates"] == whole.metrics["updates"] * 2 // 3
    for name in ("logits", "feature_norms"):
        assert (short.arrays[name] == whole.arrays[name][:2]).all()
    right = (whole.arrays["logits"].argmax(2) == task.train.labels).T
    assert (whole.arrays["correct"] == right).all(), "an epoch's end is a scoring point: who is right needs no pass of its own"


def test_a_ranking_that_finds_nothing_counts_nothing(table, monkeypatch):
    monkeypatch.setattr(trained.planted, "rated", lambda *given: pd.DataFrame(
        {"score": ["el2n"], "auc": [0.46], "low": [0.33], "high": [0.58], "found": [0.1]}))  # fmt: skip
    Slow(monkeypatch, 4.0, 4.0)
    audit = score(table, seconds=60.0, score="el2n")
    assert np.isnan(audit.wrong).all() and np.isnan(audit.count).all()
    said = " ".join(doors.said(audit))
    assert "says neither how many nor which are wrong" in said and "Wrong labels: about" not in said and "0.46" in said


@pytest.mark.parametrize("changes", [{}, {"optimizer": "sgd"}, {"task": "digits", "encoder": "resnet-small", "shifts": True}])
def test_a_training_that_is_gone_on_with_ends_as_one_never_stopped(table, changes):
    """From the state at each epoch, as the arrays of a file, in a loop of its own; bit for bit."""
    from datadiet import data
    task = data.shrink(data.load("digits"), 60, seed=0) if "task" in changes else trained.as_task(table, "text", "kind")[0]
    how = {"task": task.name, "encoder": "tiny", "epochs": 3, "watch": True, "quick": True, "batch_size": 16, "seed": 4}
    config = runs.config(**how | {"score_at": [0, "1ep", "2ep", "3ep"]} | changes)
    states = []
    whole = loop.fit(config, task, going_on=lambda done, state: states.append(state()) or True)
    assert all(isinstance(values, np.ndarray) and values.dtype != object for state in states for values in state.values())
    for state in states:
        after = loop.fit(config, task, begun={name: values.copy() for name, values in state.items()})
        assert after.arrays.keys() == whole.arrays.keys()
        for name, values in whole.arrays.items():
            assert values.tobytes() == after.arrays[name].tobytes(), name
        assert {k: v for k, v in after.metrics.items() if "seconds" not in k} == {
            k: v for k, v in whole.metrics.items() if "seconds" not in k}  # fmt: skip
    with pytest.raises(InputError, match="schedule or VoG"):
        loop.fit(config | {"vog": True}, task, begun=states[0])
