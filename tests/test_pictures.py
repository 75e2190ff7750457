"""Images: what the network is given, the small nets, the scores only images have, and the study of GraNd at initialisation."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from datadiet import gradnorm, runs, scores
from datadiet.chapters import ledger
from datadiet.chapters.arms import settings_of
from datadiet.chapters.drawing import View
from datadiet.chapters.grand_at_init import rules as images
from datadiet.chapters.grand_at_init import runs as images
from datadiet.chapters.grand_at_init.figures import (
    checkpoint_fault,
    norm_correlations,
    picture_accuracy,
    picture_budgets,
    standing,
    transfer,
)
from datadiet.chapters.grand_at_init.runs import (
    correlations,
    grand_at_init,
    halves,
    likeness,
    picture_arm,
    restore_now,
    restore_then,
    standing,
)
from datadiet.data import load, shrink
from datadiet.errors import InputError
from datadiet.nets.images import picture_classifier
from datadiet.runs import audit, recorded
from datadiet.training import kinds, loop, pictures


@pytest.fixture(scope="module")
def digits():
    return shrink(load("digits"), 60)


def config(**changes):
    return runs.config(**{"task": "digits", "size": 60, "encoder": "convnet", "epochs": 1, "inputs": "standardised",
                          "score_at": [0, "1ep"], "grand_size": None, "learning_rate": 0.05, "optimizer": "sgd"} | changes)


def test_what_each_normalisation_promises(digits):
    seen = {name: pictures.ready(digits, name, "cpu") for name in pictures.INPUTS}
    raw = torch.from_numpy(digits.train.inputs["image"])
    assert torch.equal(seen["unit range"]["train"].images, raw)
    x = seen["standardised"]["train"].images
    assert abs(x.mean()) < 1e-5 and abs(x.std() - 1) < 1e-5
    np.testing.assert_allclose(seen["per image"]["train"].norms, np.sqrt(63), rtol=1e-4)  # one value of 64 is lost to the mean
    white = seen["whitened"]["train"].images.double()  # [N, 4, 7, 7]
    assert white.shape == (60, 4, 7, 7) and {name: len(s.labels) for name, s in seen["whitened"].items()}["test"] == 400
    flat = white.transpose(0, 1).reshape(4, -1)
    covariance = flat @ flat.T / flat.shape[1]
    assert flat.mean(1).abs().max() < 1e-4 and (covariance - covariance.diag().diag()).abs().max() < 1e-4
    assert covariance.diag().max() <= 1 and covariance.diag().min() > 0.8  # not quite 1: something is added before dividing


def test_statistics_are_those_of_the_training_split(digits):
    other = replace(digits, test=digits.test.take(np.arange(5)))
    a, b = (pictures.ready(task, "whitened", "cpu")["test"].images[:5] for task in (digits, other))
    assert torch.equal(a, b)


def test_input_norms_are_those_of_what_the_network_sees(digits):
    for name in pictures.INPUTS:
        split = pictures.ready(digits, name, "cpu")["train"]
        np.testing.assert_allclose(split.norms, split.batch(np.arange(60))["image"].flatten(1).norm(dim=1), rtol=1e-5)


def test_encoded_images_are_read_as_the_embedded_ones_are(tmp_path, monkeypatch):
    from io import BytesIO

    from PIL import Image

    rng, names = np.random.default_rng(0), ["dark", "light"]
    for split, n in (("train", 12), ("test", 6)):
        labels = np.arange(n) % 2
        files = []
        for k in labels:
            file = BytesIO()
            Image.fromarray((rng.integers(0, 100, (8, 8, 3)) + 100 * k).astype(np.uint8)).save(file, "PNG")
            files.append(file.getvalue())
        (tmp_path / "shades").mkdir(exist_ok=True)
        table = pa.table({"image": files, "label": labels}).replace_schema_metadata({"label_names": json.dumps(names)})
        pq.write_table(table, tmp_path / "shades" / f"{split}.parquet")
    task = load("shades", tmp_path, validation=0.0)
    fitted = loop.fit(config(task="shades", epochs=8, batch_size=4, score_at=[]), task)
    assert fitted.arrays["input_norm"].shape == (12,) and fitted.metrics["test_accuracy"] == 1.0


def test_shifts_move_and_flip_and_nothing_else():
    x = torch.arange(2 * 3 * 8 * 8, dtype=torch.float32).reshape(2, 3, 8, 8)
    batch = {"image": x, "labels": torch.zeros(2)}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        moved = torch.cat([pictures.shifted(batch)["image"] for _ in range(40)])
        torch.manual_seed(0)
        assert torch.equal(moved[:2], pictures.shifted(batch)["image"])  # from the generator that the loop has seeded
    assert moved.shape == (80, 3, 8, 8) and set(moved.unique().tolist()) <= set(x.unique().tolist())
    assert torch.equal(moved[:, 1] - moved[:, 0], torch.full((80, 8, 8), 64.0))  # the channels of an image move together
    steps = (moved[:, 0, 4, 4] - moved[:, 0, 4, 3]).unique().tolist()
    assert {1.0, -1.0} <= set(steps)  # both ways round


def test_images_of_an_epoch_come_once_each(digits):
    split = pictures.ready(digits, "unit range", "cpu")["train"]
    kept = np.array([3, 5, 8, 13, 21, 34, 55])
    batches = split.shuffled(kept, 3, np.random.default_rng(0))
    assert [len(b) for b in batches] == [3, 3, 1] and sorted(np.concatenate(batches)) == sorted(kept)


@pytest.mark.parametrize("encoder", ["convnet", "resnet-small"])
def test_recorded_grand_is_exact_for_the_nets(digits, encoder):
    problem = kinds.prepare(config(encoder=encoder, seed=3), digits, "cpu")
    batch = problem.splits["train"].batch(np.arange(6))
    slow = gradnorm.reference_grad_norms(problem.model, batch, problem.loss)
    np.testing.assert_allclose(loop.grand(problem, np.arange(6)), slow, rtol=1e-4)


def test_features_of_the_plain_net_scale_with_its_input():
    """Why GraNd at initialisation follows the norm: twice the image is twice the features."""
    net = picture_classifier("convnet", 10, 1, seed=0)
    x = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(net.body(2 * x), 2 * net.body(x))


def test_an_untrained_net_is_recorded_and_not_judged(digits):
    fitted = loop.fit(config(epochs=0, score_at=[0]), digits)
    assert "test_accuracy" not in fitted.metrics and fitted.arrays["grand"].shape == (1, 60)
    again = loop.fit(config(epochs=1), digits)  # seed s starts where untrained network s stands
    np.testing.assert_array_equal(again.arrays["grand"][0], fitted.arrays["grand"][0])
    np.testing.assert_array_equal(again.arrays["input_norm"], fitted.arrays["input_norm"])


def test_watching_records_who_is_right_and_changes_nothing(digits):
    plain, watched = (loop.fit(config(epochs=3, score_at=["1ep", "3ep"], watch=w), digits).arrays for w in (False, True))
    np.testing.assert_array_equal(plain["logits"], watched["logits"])
    right = watched["logits"].argmax(-1) == digits.train.labels
    np.testing.assert_array_equal(watched["correct"][:, [0, 2]].T, right)
    counts = scores.forgetting(watched["correct"].T == 1)
    np.testing.assert_array_equal(recorded.values_from(watched, "forgetting", 0), np.where(np.isinf(counts), 3, counts))
    np.testing.assert_array_equal(recorded.values_from(watched, "input_norm", 1), watched["input_norm"])
    np.testing.assert_array_equal(recorded.values_from(watched, "grand", 1), watched["grand"][1])


@pytest.mark.parametrize(
    "name, message", [("grand", "for 9 of 60 examples"), ("forgetting", "watch=True"), ("tracin", "unknown score 'tracin'")]
)
def test_scores_that_were_not_recorded(digits, name, message):
    held = loop.fit(config(grand_size=9), digits).arrays
    with pytest.raises(InputError, match=message):
        recorded.values_from(held, name, 0)


def test_only_images_have_an_input_norm():
    with pytest.raises(InputError, match="only runs on images"):
        recorded.values_from({"labels": np.zeros(3)}, "input_norm", 0)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"inputs": "raw"}, "inputs 'raw'; choose one of 'unit range'"),
        ({"optimizer": "adam"}, "optimizer 'adam'; choose 'adamw' or 'sgd'"),
        ({"encoder": "minilm"}, "'minilm' is none for images; choose one of convnet"),
        ({"layers": 1}, "layers=1 asked of a net for images"),
    ],
)
def test_settings_that_mean_nothing_for_images(digits, changes, message):
    with pytest.raises(InputError, match=message):
        loop.fit(config(**changes), digits)


def test_shifts_are_for_training_only(digits):
    one, other = (loop.fit(config(shifts=s, watch=True), digits).arrays for s in (False, True))
    np.testing.assert_array_equal(one["logits"][0], other["logits"][0])
    assert not np.array_equal(one["logits"][1], other["logits"][1])


def test_the_faulty_restore_gives_the_last_checkpoint_for_step_0_and_only_there():
    held = {0: "untrained", 5: "early", 9: "late"}
    assert restore_then(held, step=0) == "late" and restore_now(held, step=0) == "untrained"
    for step in (5, 9, None):
        assert restore_then(held, step) == restore_now(held, step)


# The study --------------------------------------------------------------------------------------------------------------
@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.setenv("DATADIET_STORE", str(tmp_path))
    return settings_of("smoke", "grand-at-init", image_size=40, seeds=2,
                               image_probe_inputs=["standardised", "per image", "whitened"])


def test_a_seed_is_never_pruned_by_its_own_network_or_run():
    chosen = settings_of("standard", "grand-at-init")
    for run in grand_at_init(chosen):
        if run["keep"] and run["keep"]["source"]:
            others = 1 if run["keep"]["score"] == "input_norm" else 9 if run["keep"]["source"]["epochs"] == 0 else 4
            assert run["seed"] not in run["keep"]["seeds"] and len(run["keep"]["seeds"]) == others
        assert run["inputs"] != "unit range" or not run["epochs"]


def test_the_arm_of_the_fault_prunes_with_the_last_checkpoint():
    chosen = settings_of("standard", "grand-at-init")
    then = images.retrained(chosen, "digits", images.LOADED, 0.2)[0]["keep"]
    true = images.retrained(chosen, "digits", images.INIT, 0.2)[0]["keep"]
    assert (then["score"], then["at"], then["source"]["epochs"]) == ("grand", "8ep", 8)
    assert (true["score"], true["at"], true["source"]["epochs"]) == ("grand", 0, 0)


def test_tables_cards_figures_and_the_bill_on_real_runs(tiny):
    import matplotlib

    matplotlib.use("Agg")
    asked = grand_at_init(tiny)
    bill = audit.plan(asked)
    assert bill["runs"].sum() == len({runs.key(run) for run in asked}) and bill["minutes"].min() > 0
    table = runs.sweep(asked)
    assert not len(audit.plan(asked))
    full = picture_arm(tiny, table, "digits", "full data", 1.0)
    assert list(full.index) == [0, 1] and full.between(0, 1).all()
    for name, fraction, budget in images.plan_of(tiny, "digits"):
        assert len(picture_arm(tiny, table, "digits", name, fraction, budget)) == 2
    rows = correlations(tiny, table)
    assert rows.groupby("inputs")["seen"].count().to_dict() == {"per image": 0, "standardised": 4, "whitened": 4}
    assert rows["pixels"].between(-1, 1).all() and set(rows["images"]) == {40, 20}
    assert set(standing(tiny, table)["score"]) == {"EL2N", "GraNd", "forgetting", "input norm", images.INIT}
    assert len(halves(tiny, table)) and likeness(tiny, table)["grand"].between(-1, 1).all()
    # What the fault loads is the GraNd of the last checkpoint, exactly.
    last = runs.score_values(images.trained(tiny, "digits")[1], "grand", tiny["score_at"][-1])
    np.testing.assert_array_equal(images.readings(tiny, table, "digits", images.LOADED)[1], last)
    sides = [View("This machine", tiny, table), View("Published", tiny, pd.DataFrame())]
    for draw in (norm_correlations, standing, picture_accuracy, picture_budgets,
                 checkpoint_fault, transfer):
        figure = draw(sides)
        assert len([ax for ax in figure.axes if ax.get_title() or ax.texts]) == 2
        figure.clear()
    for claim in images.RULES:
        assert all(part.n == 2 for part in ledger.decide(claim, tiny, table).parts), claim
        assert ledger.decide(claim, tiny, pd.DataFrame()).verdict == "no runs yet"


def made(settings, accuracies):
    """A table of the retraining runs at equal steps, with an accuracy for each arm."""
    rows, rng = [], np.random.default_rng(0)
    for name, mean in accuracies.items():
        some = images.trained(settings, "digits") if name == "full data" else [
            run for f in (0.2, 0.5) for run in images.retrained(settings, "digits", name, f, "steps")]
        rows += [{"key": runs.key(run), "seed": run["seed"], "task": "digits",
                  "test_accuracy": mean + 0.0005 * rng.normal()} for run in some]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    "init, loaded, verdicts",
    [
        (0.90, 0.98, {"K23-2": "reproduced", "P21-1": "not reproduced", "K23-6": "reproduced"}),
        (0.98, 0.975, {"K23-2": "not reproduced", "P21-1": "reproduced", "K23-6": "partly reproduced"}),
        (0.90, 0.895, {"K23-2": "reproduced", "P21-1": "not reproduced", "K23-6": "not reproduced"}),
    ],
)
def test_rules_on_tables_made_by_hand(init, loaded, verdicts, monkeypatch):
    chosen = settings_of("standard", "grand-at-init", image_tasks={"digits": [0.2, 0.5]})
    table = made(chosen, {"random": 0.95, "full data": 0.98, "EL2N": 0.985, images.INIT: init, images.LOADED: loaded,
                          "input norm": 0.9, images.TRANSFER: 0.97})
    for claim, verdict in verdicts.items():
        assert ledger.decide(claim, chosen, table).verdict == verdict
    assert ledger.decide("K23-1", chosen, table).verdict == "reproduced"
    assert ledger.decide("K23-4", chosen, table).verdict == "reproduced"
    assert ledger.decide("P21-2", chosen, table).verdict == "reproduced"
    assert ledger.decide("P21-7", chosen, table).verdict == "partly reproduced"  # better than chance, a point short of its own


def test_the_jackknife_of_an_average():
    from datadiet.chapters.grand_at_init import rules as of_images

    found = of_images._jackknifed("rho", [0.9] * 4, [0.9, 0.91, 0.89, 0.9], above=0.8)
    assert found.outcome == "holds" and found.n == 4 and found.effect == 0.9
    assert of_images._jackknifed("rho", [], [], above=0.8).outcome == "no runs"
