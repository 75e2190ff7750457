"""Static shapes and captured updates: the update is that of the plain loop. On a GPU, the capture itself.

On a CPU a stand-in takes the place of the CUDA graph: it keeps the function that it was given, and calls it at each replay.
"""

import contextlib
import gc
import re
import secrets
import warnings
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small import config, words  # noqa: F401

from datadiet import gradnorm, runs
from datadiet.nets import device
from datadiet.nets.images import picture_classifier
from datadiet.training import branch, kinds, static
from datadiet.training.captured import Captured
from datadiet.training.loop import Loop, fit

IMAGES = {"task": "digits", "size": 60, "encoder": "convnet", "batch_size": 16, "learning_rate": 0.05, "optimizer": "sgd"}
RUNS = {
    "text": {},
    "text, mean of the tokens": {"encoder": "minilm-mean", "layers": 1, "learning_rate": 1e-4},
    "swap": {"task": "feedback", "size": 60},
    "joint": {"task": "assistant", "size": 60},
    "image": IMAGES | {"epochs": 2},
    "image with BatchNorm": IMAGES | {"encoder": "resnet-small"},
}
PACKAGE = Path(device.__file__).parent.parent


class Graph:
    """A stand-in for a CUDA graph; like one, it does nothing when it is recorded."""

    def __init__(self, run, pool):
        self.run, self.shared, self.replays = run, pool, 0

    def pool(self):
        return self.shared or id(self)

    def replay(self):
        self.replays += 1
        self.run()


@pytest.fixture
def graphs(monkeypatch):
    """A CPU that has static shapes, and stand-ins for CUDA graphs; those recorded so far."""
    made = []
    monkeypatch.setitem(device.STATIC, "cpu", True)
    monkeypatch.setattr(device, "recorded", lambda run, pool=None: made.append(Graph(run, pool)) or made[-1])
    return made


def draw() -> np.random.Generator:
    seed = secrets.randbelow(2**32)
    print("seed", seed)
    return np.random.default_rng(seed)


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


@pytest.fixture
def no_dropout(monkeypatch):
    """Problems whose models drop nothing: masks are drawn by the shape of the values, which padding changes."""
    prepare = kinds.prepare

    def prepared(*args):
        problem = prepare(*args)
        without_dropout(problem.model)
        return problem

    monkeypatch.setattr(kinds, "prepare", prepared)


def a_loop(monkeypatch, shapes: bool, **changes) -> Loop:
    """A loop on static shapes or plain ones, quick in neither case but for the shapes."""
    made = config(**changes)
    with monkeypatch.context() as patched:
        patched.setitem(device.STATIC, "cpu", shapes)
        out = Loop(made | {"quick": shapes}, runs.task_of(made), 10)
    without_dropout(out.model)
    return out


def disturb(rng, *models):
    """Add the same small numbers to the weights of each."""
    moves = [torch.from_numpy(rng.normal(0, 0.02, p.shape).astype(np.float32)) for p in models[0].parameters()]
    with torch.no_grad():
        for model in models:
            for p, move in zip(model.parameters(), moves, strict=True):
                p.add_(move)


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def gradient(model):
    """The clipped gradient of the last update."""
    return torch.cat([p.grad.flatten() for p in model.parameters()])


# --- Shapes

def test_every_length_has_a_bucket_and_there_are_few():
    for longest in range(1, 1025):
        lengths = static.buckets(longest)
        assert lengths == sorted(set(lengths)) and lengths[-1] == longest and len(lengths) <= static.MOST
        for length in {1, longest, max(1, longest // 2), min(longest, 17)}:
            found = static.rounded_up(length, lengths)
            assert found >= length and all(other < length or other >= found for other in lengths)


def test_a_layout_holds_every_batch_and_its_weights():
    rng = draw()
    train = SimpleNamespace(device="cpu", longest=lambda batch: int(batch.max()))
    weights = torch.from_numpy(rng.random(50).astype(np.float32))
    for rows in (8, None):
        order = rng.permutation(50)[:29]
        batches = [order[:8], order[8:16], order[16:24], order[24:]]
        laid = static.laid_out(train, batches, rows, weights)
        for batch, (positions, shares, longest) in zip(batches, laid, strict=True):
            n = len(batch)
            assert len(positions) == len(shares) == (rows or n) and longest == batch.max()
            assert positions[:n].tolist() == batch.tolist() and set(positions[n:].tolist()) <= set(batch.tolist())
            torch.testing.assert_close(shares[:n], weights[batch] / n)
            assert not shares[n:].any()
    assert static.laid_out(train, [], 8) == []


def test_only_a_model_that_mixes_examples_keeps_the_size_of_its_last_batch(words, graphs, monkeypatch):  # noqa: F811
    sizes = {}
    for name in ("image", "image with BatchNorm"):
        loop, seen = a_loop(monkeypatch, True, **RUNS[name]), []
        loop.captured = lambda update, positions, weights, longest, seen=seen: seen.append(len(positions)) or weights
        list(loop.updates([np.arange(16), np.arange(5)]))
        sizes[name] = seen
    assert sizes == {"image": [16, 16], "image with BatchNorm": [16, 5]}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_filled_up_batch_gives_the_update_of_the_batch_itself(words, graphs, monkeypatch, name, weighted):  # noqa: F811
    """Fast path: padded to a bucket, filled up with weight zero, replayed. Slow truth: `Loop.update` on the batch as it is."""
    rng, changes = draw(), {"max_length": 40} | RUNS[name] | {"optimizer": "sgd", "learning_rate": 0.02}
    plain, shaped = (a_loop(monkeypatch, shapes, **changes) for shapes in (False, True))
    disturb(rng, plain.model, shaped.model)
    start = flat(plain.model)
    n, size = len(plain.problem.splits["train"].labels), plain.config["batch_size"]
    weights = torch.from_numpy(rng.random(n).astype(np.float32) + 0.5) if weighted else None
    batches = [rng.permutation(n)[:some] for some in (size, size - 3, 2, size)]
    for (_, losses), (_, truth) in zip(shaped.updates(batches, weights), plain.updates(batches, weights), strict=True):
        torch.testing.assert_close(losses, truth, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(gradient(shaped.model), gradient(plain.model), rtol=1e-3, atol=1e-5)
        assert (shaped.step, shaped.examples) == (plain.step, plain.examples)
    assert (flat(plain.model) - start).abs().max() > 1e-3
    torch.testing.assert_close(flat(shaped.model), flat(plain.model), rtol=1e-4, atol=1e-5)
    assert graphs and len(shaped.captured.held) == len(graphs)


@pytest.mark.parametrize("name", ["text", "image", "image with BatchNorm"])
def test_in_float64_the_two_updates_agree_to_the_last_digits(words, graphs, monkeypatch, name):  # noqa: F811
    """A batch of four examples, and weights that float32 holds exactly; the loss in float64 too."""
    rng, found = draw(), []
    changes = {"max_length": 40} | RUNS[name] | {"optimizer": "sgd", "learning_rate": 2**-6, "decay": False}
    pair = [a_loop(monkeypatch, shapes, **changes) for shapes in (False, True)]
    disturb(rng, *(loop.model for loop in pair))
    batch = rng.permutation(40)[:4]
    weights = torch.from_numpy(rng.integers(1, 9, len(pair[0].problem.splits["train"].labels)) / 8).float()
    for loop in pair:
        loop.model.double()
        loop.problem = replace(loop.problem, loss=exact_loss, vary=in_double)
        ((_, losses),) = loop.updates([batch], weights)
        found.append([losses, gradient(loop.model), flat(loop.model)])
    for fast, slow in zip(*found, strict=True):
        assert fast.dtype == torch.float64
        torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-12)


def exact_loss(model, batch):
    out = model(**{name: values for name, values in batch.items() if name != "labels"})
    logits = out if isinstance(out, torch.Tensor) else out.logits
    return torch.nn.functional.cross_entropy(logits, batch["labels"], reduction="none")


def in_double(batch):
    return {name: values.double() if values.is_floating_point() else values for name, values in batch.items()}


# --- Whole runs

def same_run(one, other, rtol=2e-3, atol=2e-4):
    assert set(one.arrays) == set(other.arrays)
    for name, values in one.arrays.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(values, other.arrays[name], rtol=rtol, atol=atol, err_msg=name)
    for name in ("updates", "examples", "n_kept", "scored", "grand_scored"):
        assert one.metrics[name] == other.metrics[name], name


WHOLE = {name: RUNS[name] | {"epochs": 3, "score_at": [0, 3, "1ep", 9, "3ep"]} for name in RUNS} | {
    "text, full parameters": {"epochs": 2, "score_at": [0, 3, "2ep"], "grand_size": 8, "watch": True, "vog": True},
    "cycles": {"epochs": 4, "score_at": [], "schedule": {"fraction": 0.4, "warmup": 1, "every": 1}},
    "soft": {"epochs": 4, "score_at": [], "schedule": {"rule": "soft"}},
    "reuse": {"epochs": 4, "score_at": [], "schedule": {"fraction": 0.4, "warmup": 1, "every": 2, "reuse": True}},
    "budget": {"epochs": 2, "score_at": [0, "2ep"], "budget": "steps"},
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_run_of_static_shapes_ends_as_the_plain_one(words, graphs, no_dropout, name):  # noqa: F811
    """Also at scoring points in the middle of an epoch, which see the model after exactly that update."""
    made = config(**{"max_length": 40} | WHOLE[name])
    task, kept = runs.task_of(made), np.arange(20) if name == "budget" else None
    plain, shaped = fit(made, task, kept), fit(made | {"quick": True}, task, kept)
    same_run(shaped, plain)
    assert sum(graph.replays for graph in graphs) > 0 and "not_captured" not in shaped.metrics
    assert name != "budget" or shaped.metrics["updates"] == 14, "two epochs of 49 examples; five of 20, the last cut short"


@pytest.mark.parametrize("encoder", ["convnet", "resnet-small"])
def test_a_run_that_branches_drops_its_graphs_where_it_goes_back(words, graphs, encoder):  # noqa: F811
    images = IMAGES | {"encoder": encoder, "epochs": 2, "score_at": []}
    made = config(**images, branch={"spawn": [0, "1ep"], "alphas": 3, "block": 5, "at": "1ep", "seeds": [0],
                                    "source": config(**images | {"score_at": ["1ep"]})})
    task, values = runs.task_of(made), draw().random(60)
    plain, shaped = (branch.fit(made | {"quick": quick}, task, values[: len(task.train)]) for quick in (False, True))
    for name, errors in plain.metrics["errors"].items():
        np.testing.assert_allclose(shaped.metrics["errors"][name], errors, atol=0.1)
    assert shaped.metrics["test_accuracy"] == pytest.approx(plain.metrics["test_accuracy"], abs=0.02)
    assert shaped.metrics["updates"] == plain.metrics["updates"] and shaped.metrics["examples"] == plain.metrics["examples"]
    shapes = 1 if encoder == "convnet" else 2
    assert len(graphs) >= shapes * 2, "captured anew after each return"


def test_dropout_draws_from_the_run_and_from_nothing_else(words, graphs, monkeypatch):  # noqa: F811
    made = config(epochs=2, score_at=[0, "2ep"], quick=True)
    task, updates, found = runs.task_of(made), Loop.updates, [fit(made, runs.task_of(made))]

    def disturbed(self, *args):
        others = torch.Generator(), np.random.default_rng(1)
        for each in updates(self, *args):
            torch.rand(3, generator=others[0]), others[1].random(3), np.random.random(3)
            yield each

    before = torch.random.get_rng_state()
    monkeypatch.setattr(Loop, "updates", disturbed)
    found += [fit(made, task), fit(made | {"seed": 1}, task)]
    assert torch.equal(before, torch.random.get_rng_state())
    for name, values in found[0].arrays.items():
        np.testing.assert_array_equal(values, found[1].arrays[name])
    assert not np.array_equal(found[0].arrays["logits"], found[2].arrays["logits"])
    monkeypatch.undo()
    plain = fit(made, task)
    assert not np.array_equal(plain.arrays["logits"][1], found[0].arrays["logits"][1]), "dropout was on, with other draws"


# --- The captured update

def counted(noted=None):
    def update(positions, weights, longest):
        if noted is not None:
            noted.append((len(positions), longest))
        return weights * longest + positions

    return update


def asked(run, n, longest, start=0, noted=None):
    return run(counted(noted), torch.arange(start, start + n), torch.full((n,), 2.0), longest).tolist()


def test_the_first_update_of_a_shape_is_plain_the_second_captured_and_the_rest_replayed(graphs):
    noted, run = [], Captured("cpu")
    first = asked(run, 3, 16, noted=noted)
    assert first == [32, 33, 34] and not graphs and noted == [(3, 16)]
    second = asked(run, 3, 16, 10)
    assert second == [42, 43, 44] and [graph.replays for graph in graphs] == [1]
    asked(run, 3, 32), asked(run, 2, 16)
    assert len(graphs) == 1, "other shapes"
    asked(run, 3, 32), asked(run, 2, 16)
    third = run(counted(), torch.arange(3), torch.full((3,), 2.0), 16)
    assert [graph.replays for graph in graphs] == [2, 1, 1] and {graph.pool() for graph in graphs} == {id(graphs[0])}
    asked(run, 3, 16, 10)
    assert third.tolist() == first, "a replay does not write over losses that were handed out"


def test_graphs_that_are_dropped_are_captured_anew(graphs):
    run = Captured("cpu")
    for _ in range(3):
        asked(run, 3, 16)
    run.forget()
    asked(run, 3, 16)
    assert len(graphs) == 1 and not run.held
    asked(run, 3, 16)
    assert len(graphs) == 2 and graphs[1].replays == 1 and graphs[0].replays == 2


def test_a_loop_that_goes_back_captures_anew_and_repeats_itself(words, graphs):  # noqa: F811
    made = config(quick=True, batch_size=4)
    with device.seeded("cpu", 0):
        loop = Loop(made, runs.task_of(made), 100)
        batches, ends = [np.arange(4)] * 4, []
        list(loop.updates(batches))
        state = loop.state()
        for _ in range(2):
            loop.restore(state)
            device.seed("cpu", 3)
            assert not loop.captured.held
            list(loop.updates(batches))
            ends.append(flat(loop.model))
    assert torch.equal(*ends) and len(graphs) == 3
    assert loop.step == 8 and float(loop.optimizer.param_groups[0]["lr"]) == pytest.approx(1e-3 * 0.8)


def test_where_nothing_can_be_captured_the_run_goes_on_and_says_why(words, graphs, monkeypatch):  # noqa: F811
    made = config(quick=True, epochs=2)
    task = runs.task_of(made)
    whole = fit(made, task)

    def refuse(run, pool=None):
        try:
            raise RuntimeError("operation not permitted\nwhen stream is capturing")
        finally:
            raise ValueError("previous error")  # as torch does where it leaves a capture

    monkeypatch.setattr(device, "recorded", refuse)
    with pytest.warns(RuntimeWarning, match="RuntimeError: operation not permitted.; the run goes on without"):
        eager = fit(made, task)
    assert eager.metrics["not_captured"] == "RuntimeError: operation not permitted"
    for name, values in whole.arrays.items():
        np.testing.assert_array_equal(values, eager.arrays[name])


def test_after_a_failure_nothing_is_replayed_or_captured(graphs, monkeypatch):
    noted, run = [], Captured("cpu")
    asked(run, 3, 16), asked(run, 3, 16), asked(run, 2, 16)
    monkeypatch.setattr(device, "recorded", lambda run, pool=None: 1 / 0)
    with pytest.warns(RuntimeWarning, match="ZeroDivisionError"):
        asked(run, 2, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert asked(run, 3, 16, noted=noted) == [32, 33, 34] and asked(run, 2, 16, noted=noted) == [32, 33]
    assert noted == [(3, 16), (2, 16)] and graphs[0].replays == 1


def test_a_loop_is_freed_when_it_is_dropped(words, graphs):  # noqa: F811
    """A sweep makes hundreds in a process: a circle of references would keep their memory on the GPU for a while."""
    made = config(quick=True)
    gc.disable()
    try:
        loop = Loop(made, runs.task_of(made), 10)
        list(loop.updates([np.arange(8)]))
        there = weakref.ref(loop)
        del loop
        assert there() is None
    finally:
        gc.enable()


# --- The device room

def test_the_stopwatch_waits_for_the_device_and_can_be_paused(monkeypatch):
    now, waits = [0.0], []
    monkeypatch.setattr(device, "wait", lambda where: waits.append(where))
    monkeypatch.setattr(device.time, "perf_counter", lambda: now[0])
    watch = device.Stopwatch("cuda")
    with watch.running():
        now[0] += 3
        with watch.paused():
            now[0] += 10
        now[0] += 1
    with contextlib.suppress(KeyError), watch.running():
        now[0] += 0.5
        raise KeyError
    assert watch.seconds == 4.5 and waits == ["cuda"] * 6


def test_waiting_is_for_devices_that_work_on_their_own(monkeypatch):
    asked_for = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: asked_for.append("cuda"))
    monkeypatch.setattr(torch.mps, "synchronize", lambda: asked_for.append("mps"))
    for where in ("cpu", "mps", "cuda:0"):
        device.wait(where)
    assert asked_for == ["mps", "cuda"]


def test_the_attention_of_cudnn_is_left_out_of_quick_runs_on_a_gpu_only():
    enabled = torch.backends.cuda.cudnn_sdp_enabled
    before = enabled()
    for where, quick, there in (("cuda", True, False), ("cuda", False, before), ("cpu", True, before), ("mps", True, before)):
        with device.attention(where, quick):
            assert enabled() == there and torch.backends.cuda.math_sdp_enabled()
        assert enabled() == before


@pytest.mark.parametrize("encoder", ["convnet", "resnet-small"])
def test_weights_with_the_channel_last_give_the_same_numbers(encoder):
    """Logits and exact gradient norms; the order in memory is a matter of speed."""
    rng, found = draw(), []
    batch = {"image": torch.from_numpy(rng.normal(size=(6, 3, 16, 16)).astype(np.float32)), "labels": torch.arange(6) % 4}
    for where in ("cpu", "cuda"):
        model = picture_classifier(encoder, 4, 3, seed=1)
        device.lay_out(model, where)
        assert model.body[0].weight.is_contiguous() == (where == "cpu")
        found.append((kinds.logits_of(model, batch), gradnorm.grad_norms(model, batch, kinds.example_loss)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_scoring_pass_reads_the_device_once(words, monkeypatch):  # noqa: F811
    """Twice in truth, for logits and for norms; and not at every batch."""
    problem = kinds.prepare(config(), runs.task_of(config()), "cpu")
    monkeypatch.setitem(device.EVAL_BATCH, "cpu", 7)
    truth, reads, to_cpu = kinds.predict(problem.model, problem.splits["train"]), [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: reads.append(self.shape) or to_cpu(self))
    wanted = np.array([4, 1, 30])
    some = kinds.predict(problem.model, problem.splits["train"], wanted)
    assert reads == [(3, 3), (3,)]
    for name, values in some.items():
        np.testing.assert_allclose(values[wanted], truth[name][wanted], rtol=1e-4, atol=1e-6)
    none = kinds.predict(problem.model, problem.splits["train"], np.array([], int))
    assert none["logits"].shape == truth["logits"].shape


# Files beside the room of devices where an algorithm, or the layout of workers, depends on the device.
ELSEWHERE = {
    "gradnorm/catch.py",  # layers of one shape together where launches cost
    "gradnorm/__init__.py",  # forks the generators of the GPUs that the parameters are on
    "gradnorm/layers.py",  # the cheaper of two exact ways
    "hooks/positions.py",  # of several processes; the generators of the reader's own GPU
    "hooks/sampler.py",  # whether several processes run
    "nets/dropout.py",  # quick masks are for processors
    "runs/merge.py",  # runs of a time when a config did not name its device
    "runs/process.py",  # a worker a core, or a share of a GPU
}
QUESTION = re.compile(r"is_available|is_cuda|device_count|get_device_name|[=!]= *[{]?[\"'](cpu|cuda|mps)[\"']|"
                      r"[\"'](cpu|cuda|mps)[\"'] (not )?in |[\"']device[\"']: *[\"'](cpu|cuda|mps)[\"']")


def test_nothing_but_the_device_room_asks_which_device_it_is():
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        lines = [line for line in path.read_text().splitlines() if QUESTION.search(line)]
        if lines and path != Path(device.__file__):
            found[str(path.relative_to(PACKAGE))] = lines
    assert set(found) == ELSEWHERE, found


# --- On a GPU

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="a CUDA GPU is needed: it captures, a CPU has nothing to")


def two_ways(captured: bool, **changes):
    """Losses and final weights of four epochs over 20 examples on a GPU, captured or as usual."""
    made = config(**{"device": "cuda", "quick": True, "training_precision": "float32", "max_length": 48} | changes)
    with device.seeded("cuda", 5), device.attention("cuda", True):
        loop = Loop(made, runs.task_of(made), 12)
        if not captured:
            loop.captured = lambda update, *tensors: update(*tensors)
        train = loop.problem.splits["train"]
        order = np.random.default_rng(0)
        batches = [batch for _ in range(4) for batch in train.shuffled(np.arange(20), made["batch_size"], order)]
        losses = torch.cat([losses for _, losses in loop.updates(batches)]).cpu()
        return losses, flat(loop.model).cpu(), loop


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("changes", [{}, IMAGES, IMAGES | {"encoder": "resnet-small"}], ids=["text", "image", "BatchNorm"])
def test_a_replayed_update_is_the_update_itself(words, changes):  # noqa: F811
    """Dropout included: a graph draws from the generator of the run, from the place where it is."""
    (fast, ends, loop), (slow, wanted, _) = two_ways(True, **changes), two_ways(False, **changes)
    assert loop.captured.why is None and loop.captured.held
    torch.testing.assert_close(fast, slow, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ends, wanted, rtol=1e-2, atol=5 * loop.config["learning_rate"])


@pytest.mark.gpu
@on_gpu
def test_between_two_replays_nothing_waits_for_the_gpu(words):  # noqa: F811
    _, _, loop = two_ways(True)
    loop.total = 100
    updates = loop.updates([np.arange(8)] * 20)
    for _ in range(3):  # the epoch is uploaded, and the shape captured
        next(updates)
    torch.cuda.set_sync_debug_mode("error")
    try:
        list(updates)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@on_gpu
def test_a_scoring_pass_waits_for_the_gpu_as_often_however_many_batches_it_has(words, monkeypatch):  # noqa: F811
    _, _, loop = two_ways(True)
    train, waits = loop.problem.splits["train"], []
    for size in (7, 20):
        monkeypatch.setitem(device.EVAL_BATCH, "cuda", size)
        kinds.predict(loop.model, train)  # shapes that were not seen
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                kinds.predict(loop.model, train)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        waits.append(len(caught))
    assert waits[0] == waits[1] > 0


@pytest.mark.gpu
@on_gpu
def test_after_a_capture_that_failed_dropout_still_draws():
    before = torch.cuda.current_stream()

    def waits():
        torch.nn.functional.dropout(torch.ones(8, device="cuda"), 0.5).sum().item()

    with device.seeded("cuda", 1):
        with pytest.raises(RuntimeError):
            device.recorded(waits)
        assert torch.cuda.current_stream() == before
        assert torch.nn.functional.dropout(torch.ones(1000, device="cuda"), 0.5).count_nonzero().item() not in (0, 1000)


@pytest.mark.gpu
@on_gpu
def test_a_run_on_a_gpu_is_quick_and_leaves_the_generator_as_it_was(words):  # noqa: F811
    made = config(device="cuda", quick=True, epochs=4, score_at=[0, 3, "4ep"])
    before = torch.cuda.get_rng_state()
    fitted = fit(made, runs.task_of(made))
    assert torch.equal(before, torch.cuda.get_rng_state()) and "not_captured" not in fitted.metrics
    assert np.isfinite(fitted.arrays["logits"]).all()
