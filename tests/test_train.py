"""The training loop and its models: exact where it is fast, the same run from the same config, nothing global touched."""

import copy
import itertools
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small import config, words  # noqa: F401

from datadiet import gradnorm, runs, scores
from datadiet.data import flip_labels, load, shrink
from datadiet.errors import InputError
from datadiet.nets import device as devices
from datadiet.nets import encoders
from datadiet.nets.dropout import Dropout
from datadiet.nets.images import picture_classifier
from datadiet.training import frozen, kinds
from datadiet.training.loop import Loop, fit, rate, step_of
from datadiet.training.recording import grand
from datadiet.training.tokens import tokens


@pytest.fixture
def task(words):  # noqa: F811
    return runs.task_of(config())


def test_trimming_the_vocabulary_leaves_training_as_it_was(task):
    """Fast path: a small embedding. Slow truth: the whole one. Same losses, same logits, to the bit."""
    tokens = encoders.tokenizer("tiny")(list(task.train.inputs["text"][:16]), padding=True, return_tensors="pt")
    labels, ids = torch.as_tensor(task.train.labels[:16]), tokens["input_ids"]
    outcomes = []
    for trim in (False, True):
        model = encoders.classifier("tiny", 3, seed=5)
        renamed = encoders.trim_vocabulary(model, ids.unique()) if trim else None
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
        for _ in range(3):
            loss = torch.nn.functional.cross_entropy(
                model(input_ids=renamed[ids] if trim else ids, attention_mask=tokens["attention_mask"]).logits, labels
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        outcomes.append(loss.item())
    assert outcomes[0] == outcomes[1]


def test_trimming_needs_the_padding_id():
    with pytest.raises(InputError, match="padding id 0"):
        encoders.trim_vocabulary(encoders.classifier("tiny", 2), torch.tensor([5, 6]))


def test_the_same_config_gives_the_same_run_and_touches_no_global_generator(task):
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    first, second = (fit(config(), task) for _ in range(2))
    assert torch.equal(before[0], torch.random.get_rng_state()) and (before[1] == np.random.get_state()[1]).all()
    clocks = ("train_seconds", "scoring_seconds")
    assert {k: v for k, v in first.metrics.items() if k not in clocks} == {
        k: v for k, v in second.metrics.items() if k not in clocks
    }
    for name in first.arrays:
        np.testing.assert_array_equal(first.arrays[name], second.arrays[name])


def test_recording_does_not_disturb_training(task):
    quiet, recorded = fit(config(score_at=[]), task), fit(config(score_at=[0, 1, 2, 3, "1ep"], grand_size=8), task)
    np.testing.assert_array_equal(quiet.arrays["test_predictions"], recorded.arrays["test_predictions"])


def test_another_seed_gives_another_run(task):
    one, other = (fit(config(seed=s), task).arrays["logits"] for s in range(2))
    assert not np.array_equal(one[0], other[0])  # the head is drawn from the seed


def test_recorded_logits_are_those_of_a_plain_pass_in_the_public_order(task):
    """Batches are cut by length; what comes back is in the order of the set, and dropout is off."""
    model = encoders.classifier("tiny", 3, seed=0)
    encoded = kinds.encode(config(), task, model, "cpu")["train"]
    model.train()
    logits, norms = kinds.predict(model, encoded).values()
    assert model.training  # the mode is kept
    model.eval()
    with torch.inference_mode():
        one_by_one = torch.cat([model(**kinds._inputs(encoded.batch([i]))).logits for i in range(len(task.train))])
    np.testing.assert_allclose(logits, one_by_one.numpy(), rtol=1e-4, atol=1e-6)
    assert norms.shape == (len(task.train),) and (norms > 0).all()


def test_recorded_grand_is_the_gradient_norm_of_the_batch_of_one(task):
    problem = kinds.prepare(config(seed=1), task, "cpu")
    train_split, positions = problem.splits["train"], np.array([3, 17, 40])
    slow = [gradnorm.reference_grad_norms(problem.model, train_split.batch([p]), problem.loss).item() for p in positions]
    np.testing.assert_allclose(grand(problem, positions), slow, rtol=1e-5)


def test_head_grand_from_feature_norms_is_the_gradient_norm_of_the_head(task):
    model = encoders.classifier("tiny", 3, seed=2)
    encoded = kinds.encode(config(), task, model, "cpu")["train"]
    logits, norms = kinds.predict(model, encoded).values()
    fast = scores.grand_head(runs.probabilities(logits), task.train.labels, norms[:, None])
    model.requires_grad_(False)
    encoders.output_layer(model).requires_grad_(True)
    slow = gradnorm.reference_grad_norms(model, encoded.batch(np.arange(20)), kinds.example_loss)
    np.testing.assert_allclose(fast[:20], slow.numpy(), rtol=1e-4)


def test_an_epoch_sees_every_kept_example_once(task):
    model = encoders.classifier("tiny", 3)
    encoded = kinds.encode(config(), task, model, "cpu")["train"]
    kept = np.array([1, 4, 9, 16, 25, 36, 8, 30, 31, 2, 3])
    batches = encoded.shuffled(kept, 4, np.random.default_rng(0))
    assert [len(b) for b in batches].count(4) == 2 and len(batches) == 3
    assert sorted(np.concatenate(batches)) == sorted(kept)


@pytest.mark.parametrize("budget, updates", [("epochs", 2 * 3), ("steps", 2 * 7)])
def test_budgets(task, budget, updates):
    """49 examples are 7 batches of 8; 20 kept ones are 3."""
    fitted = fit(config(epochs=2, budget=budget, score_at=[]), task, np.arange(20))
    assert len(task.train) == 49 and fitted.metrics["updates"] == updates and fitted.metrics["n_kept"] == 20


def test_training_learns(task):
    assert fit(config(epochs=25, score_at=[]), task).metrics["test_accuracy"] > 0.8


@pytest.mark.parametrize("at, step", [(0, 0), (10, 10), ("1ep", 7), ("3ep", 21)])
def test_scoring_points(at, step):
    assert step_of(at, 49, 8) == step


@pytest.mark.parametrize("at", [-1, "ep", "1 epoch", 1.5, True, None])
def test_a_scoring_point_that_means_nothing(at):
    with pytest.raises(InputError, match="scoring point"):
        step_of(at, 49, 8)


def test_a_scoring_point_beyond_the_end(task):
    with pytest.raises(InputError, match="beyond the last of 7 updates"):
        fit(config(score_at=[0, 100]), task)


def test_scores_in_bfloat16_rank_as_those_in_float32(task):
    from scipy.stats import spearmanr

    longer = {"epochs": 8, "learning_rate": 5e-3, "score_at": ["8ep"]}
    whole, half = (fit(config(precision=name, **longer), task) for name in ("float32", "bfloat16"))
    assert half.arrays["logits"].dtype == np.float32 and np.array_equal(half.arrays["ids"], whole.arrays["ids"])
    values = [scores.el2n(runs.probabilities(fitted.arrays["logits"][0]), task.train.labels) for fitted in (whole, half)]
    # The weights are the same; eight bits of a product are kept instead of 24.
    assert 0 < np.abs(values[0] - values[1]).max() < 0.05 and spearmanr(*values)[0] > 0.98
    keys = [runs.key(config(**given)) for given in ({"precision": "bfloat16"}, {"precision": "float32"}, {})]
    assert keys[0] != keys[1] == keys[2]


def test_bad_requests(task):
    with pytest.raises(InputError, match="precision 'float8'"):
        fit(config(precision="float8"), task)
    with pytest.raises(InputError, match="budget 'hours'"):
        fit(config(budget="hours"), task)
    with pytest.raises(InputError, match="no training example"):
        fit(config(), task, np.array([], int))


@pytest.mark.parametrize(
    "encoder, layers, classes, message",
    [("no/such-encoder", None, 3, "could not be loaded"), ("tiny", 9, 3, "9 layers"), ("tiny", None, 1, "at least 2")],
)
def test_models_that_cannot_be(encoder, layers, classes, message, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # else it waits and tries again
    if encoder == "tiny" and layers:
        encoder = "minilm"
    with pytest.raises(InputError, match=message):
        encoders.classifier(encoder, classes, layers)


def test_the_encoder_is_the_one_we_say(monkeypatch, tmp_path):
    encoders._minilm_folder.cache_clear()
    monkeypatch.setattr(encoders, "MINILM_SHA256", "0" * 64)
    with pytest.raises(InputError, match="SHA-256"):
        encoders.classifier("minilm", 2)
    encoders._minilm_folder.cache_clear()


def test_minilm_is_cut_to_its_first_layers():
    assert len(encoders.classifier("minilm", 2, layers=2).bert.encoder.layer) == 2


def test_a_task_of_an_unknown_kind_is_refused(task):
    from dataclasses import replace

    with pytest.raises(InputError, match="kind 'sound'; this loop trains on 'text'"):
        fit(config(), replace(task, kind="sound"))


def test_mean_pooling_ignores_padding_and_has_no_idle_parameters(task):
    model = encoders.classifier("minilm-mean", 3, layers=1, seed=0)
    encoded = kinds.encode(config(encoder="minilm-mean"), task, model, "cpu")["train"]
    lengths = encoded.lengths
    together = kinds.predict(model, encoded)["logits"]
    alone = model(**kinds._inputs(encoded.batch([int(lengths.argmin())]))).logits
    np.testing.assert_allclose(together[lengths.argmin()], alone.detach()[0].numpy(), rtol=1e-4, atol=1e-6)
    kinds.example_loss(model, encoded.batch(np.arange(8))).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    fast = gradnorm.grad_norms(model, encoded.batch(np.arange(8)), kinds.example_loss)
    slow = gradnorm.reference_grad_norms(model, encoded.batch(np.arange(8)), kinds.example_loss)
    np.testing.assert_allclose(fast.numpy(), slow.numpy(), rtol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_an_encoder_from_a_folder_trains_as_with_its_whole_vocabulary(task, kind, tmp_path, monkeypatch):
    """A local stand-in for the hub. RoBERTa counts positions from its padding id, which trimming must not move."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    pad = {"bert": 0, "roberta": 1}[kind]
    tokenizer = encoders.tokenizer("tiny")
    made = AutoConfig.for_model(kind, vocab_size=len(tokenizer), pad_token_id=pad, **shape)
    AutoModelForSequenceClassification.from_config(made).save_pretrained(tmp_path / "encoder")
    tokenizer.save_pretrained(tmp_path / "encoder")
    own = encoders.tokenizer(str(tmp_path / "encoder"))
    own.pad_token = own.convert_ids_to_tokens(pad)
    run = config(encoder=str(tmp_path / "encoder"))
    fitted = fit(run, task)
    everything = torch.arange(len(tokenizer))
    trim = encoders.trim_vocabulary
    monkeypatch.setattr(encoders, "trim_vocabulary", lambda model, used: trim(model, everything))
    np.testing.assert_array_equal(fit(run, task).arrays["logits"], fitted.arrays["logits"])


def test_a_batch_is_cut_where_that_saves_padding():
    lengths = np.array([5, 5, 6, 6, 60, 60, 60, 64])
    flat = {"input_ids": torch.zeros(int(lengths.sum())), "attention_mask": torch.ones(int(lengths.sum()))}
    examples = kinds.Encoded(np.zeros(8, int), lengths, flat, 0, "cpu")
    assert [list(part) for part in examples.parts(np.arange(8))] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [list(part) for part in examples.parts(np.array([3, 0, 2]))] == [[3, 0, 2]], "no cut is worth a pass"
    draw = np.random.default_rng(0)
    for _ in range(20):  # against every way to cut
        lengths = np.sort(draw.integers(3, 300, 7))
        examples = kinds.Encoded(np.zeros(7, int), lengths, {"input_ids": torch.zeros(int(lengths.sum()))}, 0, "cpu")

        def cost(ends, lengths=lengths):
            return sum((e - s) * lengths[s:e].max() + kinds.PASS for s, e in zip([0, *ends], [*ends, 7], strict=True))

        parts = examples.parts(np.arange(7))
        assert np.concatenate(parts).tolist() == list(range(7))
        best = min(cost(ends) for n in range(7) for ends in itertools.combinations(range(1, 7), n))
        assert cost(list(np.cumsum([len(part) for part in parts])[:-1])) == best


def test_an_update_in_parts_is_the_update_in_one(task, monkeypatch):
    """Without dropout, which draws by the shape of what it drops: the same losses and the same weights."""
    ends, seen = [], []
    for cut in (False, True):
        loop = Loop(config(quick=cut), task, 10)
        for module in loop.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        examples, positions = loop.problem.splits["train"], np.array([4, 1, 7, 2, 9])
        monkeypatch.setattr(examples, "parts", lambda all: [all[:2], all[2:4], all[4:]])
        weights = torch.linspace(0.5, 2, len(task.train))
        seen.append([loop.update(positions, weights=weights) for _ in range(3)])
        ends.append(torch.cat([p.detach().flatten() for p in loop.model.parameters()]))
    torch.testing.assert_close(seen[1], seen[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-4, atol=1e-5)


def test_a_quick_run_is_another_run_with_another_key(task):
    """What was published before stays what it was; all else than the draws is the same."""
    kinds_of = {}
    for quick in (False, True):
        loop = Loop(config(quick=quick), task, 10)
        kinds_of[quick] = {type(module) for module in loop.model.modules() if isinstance(module, torch.nn.Dropout)}
    assert kinds_of == {False: {torch.nn.Dropout}, True: {Dropout}}
    assert runs.key(config(quick=False)) == runs.key(config()) != runs.key(config(quick=True))
    usual, quick, again = (fit(config(quick=q, score_at=[0, "1ep"]), task) for q in (False, True, True))
    np.testing.assert_array_equal(usual.arrays["logits"][0], quick.arrays["logits"][0])  # nothing is drawn before training
    assert not np.array_equal(usual.arrays["logits"][1], quick.arrays["logits"][1])
    np.testing.assert_array_equal(quick.arrays["logits"], again.arrays["logits"])
    assert usual.metrics["updates"] == quick.metrics["updates"] and usual.metrics["examples"] == quick.metrics["examples"]


# --- The device

@pytest.mark.parametrize("changes", [{}, {"folds": 3}])
def test_a_device_that_is_not_here_is_refused_and_never_replaced(task, changes):
    run = config(score_at=[0], **changes) | {"device": "mps"}
    with pytest.raises(InputError, match="asks for 'mps', this machine has cpu"):
        (frozen.out_of_fold if changes else fit)(run, task)


def test_nothing_but_the_device_room_asks_torch_for_a_device():
    package = Path(devices.__file__).parent.parent
    for path in [*package.glob("nets/*.py"), *package.glob("training/*.py")]:
        if path != Path(devices.__file__):
            assert not re.search(r"is_available|\.is_cuda|fork_rng|    torch\.manual_seed", path.read_text()), path


def test_no_other_generator_is_touched(task, monkeypatch):
    """``torch.manual_seed`` seeds every GPU, and ``fork_rng`` without devices copies the state of each."""
    touched = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: touched.append(seed))
    monkeypatch.setattr(torch.random, "fork_rng", lambda *args, **kwargs: touched.append(args))
    fit(config(), task)
    picture_classifier("convnet", 2)
    assert not touched


def test_generators_of_a_gpu_are_seeded_and_left_as_they_were(monkeypatch):
    states = []
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: "found")
    monkeypatch.setattr(torch.cuda, "set_rng_state", states.append)
    monkeypatch.setattr(torch.cuda, "manual_seed", states.append)
    before = torch.random.get_rng_state()
    with pytest.raises(KeyError), devices.seeded("cuda:0", 7):
        assert states == [7] and torch.initial_seed() == 7
        raise KeyError
    assert states == [7, "found"] and torch.equal(torch.random.get_rng_state(), before)


def test_every_device_has_its_scoring_batch_and_cuts_only_on_a_processor():
    for name in devices.PRECISION:
        somewhere = SimpleNamespace(parameters=lambda name=name: iter([SimpleNamespace(device=torch.device(name))]))
        assert kinds.eval_batch(somewhere) >= 32
    lengths = np.array([5, 5, 6, 6, 60, 60, 60, 64])
    flat = {"input_ids": torch.zeros(int(lengths.sum()))}
    assert len(kinds.Encoded(np.zeros(8, int), lengths, flat, 0, "meta").parts(np.arange(8))) == 1


def test_training_in_bfloat16_is_another_run_with_float32_weights(task):
    whole, half = (Loop(config(training_precision=name), task, 3) for name in ("float32", "bfloat16"))
    losses = []
    for loop in (whole, half):
        with devices.seeded("cpu", 0):
            losses.append([loop.update(np.arange(8)) for _ in range(2)])
    assert {p.dtype for p in half.model.parameters()} == {torch.float32}
    difference = (losses[0][0] - losses[1][0]).abs().max()
    assert 0 < difference < 0.05, "eight bits of a product are kept instead of 24"
    with pytest.raises(InputError, match="training_precision 'float8'"):
        fit(config() | {"training_precision": "float8"}, task)


def test_vog_of_a_run_that_scores_in_bfloat16_is_that_of_float32(task):
    whole, half = (fit(config(vog=True, score_at=[0, 3, "1ep"], precision=name), task) for name in ("float32", "bfloat16"))
    np.testing.assert_array_equal(half.arrays["vog"], whole.arrays["vog"])
    assert (half.arrays["vog"][2] > 0).all() and not np.array_equal(half.arrays["logits"], whole.arrays["logits"])


# --- Encoders of the hub

@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A stand-in for the hub: every id is one small encoder; what was asked for is noted."""
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    encoders.tokenizer("tiny").save_pretrained(tmp_path / "encoder")
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    made = AutoConfig.for_model("bert", vocab_size=len(encoders.tokenizer("tiny")), **shape)
    AutoModelForSequenceClassification.from_config(made).save_pretrained(tmp_path / "encoder")
    asked = []
    for auto in (AutoConfig, AutoModelForSequenceClassification, AutoTokenizer):
        def from_pretrained(place, load=auto.from_pretrained, revision=None, **options):
            if place != tmp_path / "encoder":  # else transformers asks itself
                asked.append((str(place), revision))
            found = load(tmp_path / "encoder", **options)
            if revision is not None and hasattr(found, "vocab_size"):  # the hub's name of a branch becomes that of a commit
                found._commit_hash = f"commit of {revision}"
            return found

        monkeypatch.setattr(auto, "from_pretrained", from_pretrained)
    encoders.tokenizer.cache_clear()
    tokens.cache_clear()
    yield asked
    encoders.tokenizer.cache_clear()
    tokens.cache_clear()


@pytest.mark.parametrize("encoder, asked_for", [
    ("roberta-base", ("roberta-base", "e2da8e2f811d1448a5b465c236feacd80ffbac7b")),
    ("roberta-base@v1", ("roberta-base", "v1")),
    ("somebody/encoder@1f2e", ("somebody/encoder", "1f2e")),
    ("somebody/encoder", ("somebody/encoder", "main")),
])
def test_the_hub_is_asked_for_a_revision_and_the_run_says_its_commit(task, hub, encoder, asked_for):
    metrics = fit(config(encoder=encoder), task).metrics
    assert set(hub) == {asked_for} and len(hub) == 3  # configuration, weights and tokenizer
    assert metrics["encoder_revision"] == f"commit of {asked_for[1]}"


def test_encoders_on_the_disk_have_no_revision(task, hub, tmp_path):
    (tmp_path / "at@home").mkdir()
    fitted = [fit(config(encoder=encoder), task).metrics for encoder in (str(tmp_path / "at@home"), "tiny")]
    assert {revision for _, revision in hub} == {None} and not any("encoder_revision" in metrics for metrics in fitted)


@pytest.mark.parametrize("encoder", ["somebody/encoder@", "@1f2e", ""])
def test_revisions_that_cannot_be(encoder):
    with pytest.raises(InputError, match="name@revision"):
        encoders.classifier(encoder, 2)


# --- Tokens

def test_texts_that_are_cut_are_counted(task, monkeypatch):
    tokenizer, split = encoders.tokenizer("tiny"), task.train
    lengths = [len(tokenizer(text)["input_ids"]) for text in split.inputs["text"]]
    for longest in (4, 5, max(lengths)):
        truth = np.mean(np.array(lengths) > longest)
        assert kinds.prepare(config(max_length=longest), task, "cpu").facts == {"cut": truth}
    share = np.mean(np.array(lengths) > 5)
    assert 0 < share < 1 and fit(config(max_length=5), task).metrics["cut"] == share
    assert "cut" not in kinds.prepare(runs.config(task="digits", encoder="convnet"), load("digits"), "cpu").facts
    for longest in (4, 5, max(lengths)):  # a tokenizer in Python does not say what it cut
        tokens.cache_clear()
        fast = tokens("tiny", longest, tuple(split.inputs["text"]))
        tokens.cache_clear()
        with monkeypatch.context() as patched:
            patched.setattr(type(tokenizer), "is_fast", False)
            assert tokens("tiny", longest, tuple(split.inputs["text"])).cut == fast.cut == (np.array(lengths) > longest).sum()
    tokens.cache_clear()


def test_runs_of_a_sweep_tokenise_once_and_a_changed_text_is_seen(task, monkeypatch):
    tokens.cache_clear()
    calls, usual = [], encoders.tokenizer("tiny")

    class Counting:
        is_fast, pad_token_id = True, usual.pad_token_id

        def __call__(self, *args, **kwargs):
            calls.append(len(args[0]))
            return usual(*args, **kwargs)

        def __len__(self):
            return len(usual)

    monkeypatch.setattr(encoders, "tokenizer", lambda encoder: Counting())
    first, again = (kinds.prepare(config(seed=seed), task, "cpu").splits["train"] for seed in (0, 1))
    assert calls == [len(task.train), len(task.validation), len(task.test)]
    assert torch.equal(first.columns["input_ids"], again.columns["input_ids"])
    kinds.prepare(config(noise=0.2), flip_labels(task, 0.2, seed=0), "cpu")
    assert len(calls) == 3, "labels are no part of the text"
    task.train.inputs["text"][3] = "wholly new words " * 3
    changed = kinds.prepare(config(), task, "cpu").splits["train"]
    assert calls[3:] == [len(task.train)] and changed.lengths[3] > first.lengths[3]
    kinds.prepare(config(max_length=5), task, "cpu")
    assert len(calls) == 7
    tokens.cache_clear()


def test_copies_are_the_pairs_with_the_same_tokens():
    draw = np.random.default_rng(0)
    for n in (1, 7, 200):
        rows = [draw.integers(0, 2, draw.integers(1, 4)).tolist() for _ in range(2 * n)]
        flat = {"input_ids": torch.tensor([token for row in rows for token in row])}
        split = kinds.Encoded(np.zeros(2 * n, int), np.array([len(row) for row in rows]), flat, 0, "cpu")
        assert split.copies.tolist() == [rows[i] == rows[n + i] for i in range(n)]
    assert 0 < split.copies.sum() < n


# --- An update, against one written by hand

IMAGES = {"task": "digits", "encoder": "convnet", "optimizer": "sgd", "learning_rate": 0.1, "decay": False}


@pytest.fixture
def digits():
    return shrink(load("digits"), 40)


def by_hand(model, train, positions, scale=1.0):
    """Gradients of the mean loss of a batch, clipped to a norm of 1."""
    loss = kinds.example_loss(model, train.batch(positions)).mean() * scale
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    norm = torch.stack([g.norm() for g in gradients]).norm()
    return [g * min(1.0, 1.0 / (float(norm) + 1e-6)) for g in gradients], float(norm)


@pytest.mark.parametrize("scale", [0.1, 1e3])
def test_sgd_has_nesterov_momentum_weight_decay_and_a_clipped_gradient(digits, scale):
    """``g + 5e-4 w``, ``v = 0.9 v + g``, ``w - lr (g + 0.9 v)``: three updates."""
    loop = Loop(runs.config(**IMAGES), digits, 10)
    slow, train = copy.deepcopy(loop.model), loop.problem.splits["train"]
    velocities, norms = [torch.zeros_like(p) for p in slow.parameters()], []
    weights = torch.full((40,), scale)
    for number in range(3):
        positions = np.arange(10) + 10 * number
        loop.update(positions, weights=weights)
        gradients, norm = by_hand(slow, train, positions, scale)
        norms.append(norm)
        with torch.no_grad():
            for p, v, g in zip(slow.parameters(), velocities, gradients, strict=True):
                g = g + 5e-4 * p
                v.mul_(0.9).add_(g)
                p.sub_(0.1 * (g + 0.9 * v))
    assert (min(norms) > 1) == (scale > 1)
    for fast, p in zip(loop.model.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(fast, p, rtol=1e-4, atol=1e-6)


def test_adamw_has_no_weight_decay(digits):
    loop = Loop(runs.config(**IMAGES | {"optimizer": "adamw", "learning_rate": 0.01}), digits, 10)
    slow, train, positions = copy.deepcopy(loop.model), loop.problem.splits["train"], np.arange(10)
    loop.update(positions)
    gradients, _ = by_hand(slow, train, positions)
    for fast, p, g in zip(loop.model.parameters(), slow.parameters(), gradients, strict=True):
        torch.testing.assert_close(fast, p - 0.01 * g / (g.abs() + 1e-8), rtol=1e-4, atol=1e-6)  # Adam's first step


def test_dropout_draws_from_a_stream_of_its_own_seed(task, monkeypatch):
    """The first losses of a run are those of its model under the seed 1,000,003 + its own."""
    seen, update = [], Loop.update
    monkeypatch.setattr(Loop, "update", lambda self, *args: seen.append((args[0], update(self, *args))) or seen[-1][1])
    for seed in (0, 4):
        seen.clear()
        fit(config(seed=seed, score_at=[]), task)
        problem = kinds.prepare(config(seed=seed), task, "cpu")
        problem.model.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1_000_003 + seed)
            truth = problem.loss(problem.model, problem.splits["train"].batch(seen[0][0]))
        assert torch.equal(truth, seen[0][1])


def test_the_learning_rate_rises_over_a_tenth_and_falls_in_a_line(digits):
    assert [rate(step, 20) for step in (0, 1, 2, 11, 20)] == [0, 0.5, 1, 0.5, 0] and rate(1, 10) == 1 and rate(0, 1) == 0
    loop, seen = Loop(runs.config(**IMAGES | {"decay": True}), digits, 20), []
    for _ in range(20):
        seen.append(loop.optimizer.param_groups[0]["lr"])
        loop.update(np.arange(4))
    assert seen == pytest.approx([0.1 * rate(step, 20) for step in range(20)])
    assert loop.optimizer.param_groups[0]["lr"] == 0
