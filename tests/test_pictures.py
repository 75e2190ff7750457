"""Images: what the network is given, the small nets, the scores only images have, and the chapter on GraNd at initialisation."""

import json
from dataclasses import replace

import matplotlib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy.stats import spearmanr
from small import around, rows

from datadiet import gradnorm, runs, scores
from datadiet.chapters import grand_at_init as chapter
from datadiet.chapters import images, ledger
from datadiet.chapters.arms import by_seed
from datadiet.chapters.grand_at_init.runs import FULL, INIT, LOADED, TRANSFER, arm, restore_now, restore_then
from datadiet.chapters.parts import interval
from datadiet.chapters.settings import settings_of
from datadiet.chapters.views import View
from datadiet.data import load, shrink
from datadiet.errors import InputError
from datadiet.nets.images import picture_classifier
from datadiet.runs import bill, recorded
from datadiet.training import kinds, loop, pictures, recording


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
    np.testing.assert_allclose(recording.grand(problem, np.arange(6)), slow, rtol=1e-4)


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
    "name, message", [("grand", "for 9 of 60 examples"), ("forgetting", "watch=True"), ("shapley", "unknown score 'shapley'")]
)
def test_scores_that_were_not_recorded(digits, name, message):
    arrays = loop.fit(config(grand_size=9), digits).arrays
    with pytest.raises(InputError, match=message):
        recorded.values_from(arrays, name, 0)


def test_only_images_have_an_input_norm():
    with pytest.raises(InputError, match="only runs on images"):
        recorded.values_from({"labels": np.zeros(3)}, "input_norm", 0)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"inputs": "raw"}, "inputs 'raw'; choose one of unit range"),
        ({"optimizer": "adam"}, "optimizer 'adam'; choose one of adamw, sgd"),
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
    checkpoints = {0: "untrained", 5: "early", 9: "late"}
    assert restore_then(checkpoints, step=0) == "late" and restore_now(checkpoints, step=0) == "untrained"
    for step in (5, 9, None):
        assert restore_then(checkpoints, step) == restore_now(checkpoints, step)


# What chapters about images share

STANDARD = settings_of("standard", "grand-at-init", tasks=["digits"], fractions=[0.2, 0.5])


def test_images_have_settings_of_their_own_and_no_tokens():
    chosen = images.of_task(settings_of("standard", "grand-at-init"), "cifar10")
    assert (chosen["layers"], chosen["max_length"], chosen["size"]) == (None, runs.DEFAULTS["max_length"], 3000)
    assert images.of_task(chosen, "cifar10") == chosen
    shifted = STANDARD | {"shifts": True}
    for run in images.scoring(shifted, "digits") + images.pruned(shifted, "digits", "random", 0.5):
        assert (run["optimizer"], run["inputs"], run["shifts"]) == ("sgd", "standardised", True)
    with pytest.raises(InputError, match="unknown config key.*watched"):
        images.scoring(STANDARD, "digits", watched=True)


def test_pruned_images_are_chosen_by_the_scoring_runs_or_by_the_arm_that_is_named():
    by_others = [run["keep"] for run in images.pruned(STANDARD, "digits", "hardest", 0.5, at="2ep")]
    assert [keep["seeds"] for keep in by_others] == [[other for other in range(5) if other != seed] for seed in range(5)]
    assert by_others[0]["source"]["shifts"] is False and by_others[0]["source"]["watch"] is False
    named = images.pruned(STANDARD, "digits", "hardest", 0.5, at="2ep", by=chapter.runs.trained(STANDARD, "digits")[:2])
    assert [run["keep"]["seeds"] for run in named] == [[1], [0], [0, 1], [0, 1], [0, 1]]
    assert named[0]["keep"]["source"] == by_others[0]["source"] | {"watch": True}


# The chapter

def test_a_seed_is_never_pruned_by_its_own_network_or_run():
    asked = chapter.runs.wanted(settings_of("standard", "grand-at-init"))
    pruned = [run for run in asked if run["keep"] and run["keep"]["source"]]
    assert {run["keep"]["score"] for run in pruned} == {"el2n", "grand", "forgetting", "input_norm"}
    for run in pruned:
        others = 1 if run["keep"]["score"] == "input_norm" else 9 if run["keep"]["source"]["epochs"] == 0 else 4
        assert run["seed"] not in run["keep"]["seeds"] and len(run["keep"]["seeds"]) == others


def test_the_arm_of_the_fault_prunes_with_the_last_checkpoint():
    then, true = (arm(STANDARD, "digits", name)[0]["keep"] for name in (LOADED, INIT))
    assert (then["score"], then["at"], then["source"]["epochs"]) == ("grand", "8ep", 8)
    assert (true["score"], true["at"], true["source"]["epochs"]) == ("grand", 0, 0)


def test_every_task_has_its_own_fractions_and_sizes():
    own = settings_of("standard", "grand-at-init")
    assert {run["keep"]["fraction"] for run in arm(own, "cifar10", "EL2N")} == {0.5}
    assert {fraction for _, fraction, _ in chapter.runs.retrained(own, "cifar10")} == {0.2, 0.5}
    networks = chapter.runs.probes(own, "cifar10").items()
    sizes = {(encoder, run["size"], len(some)) for (encoder, _), some in networks for run in some}
    assert sizes == {("convnet", 3000, 10), ("resnet-small", 500, 5), ("resnet18", 200, 3)}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.setenv("DATADIET_STORE", str(tmp_path))
    return settings_of("smoke", "grand-at-init", size=40, probe_inputs=["standardised", "per image", "whitened"])


def test_tables_cards_figures_and_the_bill_on_real_runs(tiny):
    matplotlib.use("Agg")
    asked, tables, figures = chapter.runs.wanted(tiny), chapter.runs, chapter.figures
    due = bill.of(asked)
    assert due["runs"].sum() == len({runs.key(run) for run in asked}) and due["minutes"].min() > 0
    table = runs.sweep(asked)
    assert not len(bill.of(asked))
    full = by_seed(table, arm(tiny, "digits", FULL))
    assert list(full.index) == [0, 1] and full.between(0, 1).all()
    for name, fraction, budget in tables.retrained(tiny, "digits"):
        assert len(by_seed(table, arm(tiny, "digits", name, fraction, budget))) == 2
    found = tables.correlations(tiny, table)
    assert found.groupby("inputs")["seen"].count().to_dict() == {"per image": 0, "standardised": 4, "whitened": 4}
    assert found["pixels"].between(-1, 1).all() and set(found["images"]) == {40, 20}
    assert set(tables.standing(tiny, table)["score"]) == {"EL2N", "GraNd", "forgetting", "input norm", INIT}
    assert len(tables.halves(tiny, table)) and tables.likeness(tiny, table)["grand"].between(-1, 1).all()
    # The faulty restore loads the GraNd of the last checkpoint, exactly.
    last = runs.score_values(tables.trained(tiny, "digits")[1], "grand", tiny["score_at"][-1])
    np.testing.assert_array_equal(tables.scores_of(tiny, table, "digits", LOADED)[1], last)
    views = [View("This machine", tiny, table), View("Published", tiny, pd.DataFrame())]
    for draw in (figures.norm_correlations, figures.standing, figures.accuracy_by_fraction, figures.budgets,
                 figures.checkpoint_fault, figures.transfer):
        figure = draw(views)
        assert len([ax for ax in figure.axes if ax.get_title() or ax.texts]) == 2
    for claim in chapter.rules.RULES:
        assert all(part.n == 2 for part in ledger.decide(claim, tiny, table).parts), claim
        assert ledger.decide(claim, tiny, pd.DataFrame()).verdict == "no runs yet"


# Its rules

PAIRS = {  # part of a rule -> its place, its sign, its margin, the two arms and the kept fraction
    "K23-1": (0, "above", 0.0, "EL2N", "random", 0.2),
    "K23-2": (0, "below", 0.005, INIT, "random", 0.2),
    "K23-4": (0, "below", 0.005, "input norm", "random", 0.2),
    "K23-5, useful": (1, "above", 0.0, "GraNd", "random", 0.2),
    "K23-6, over init": (0, "above", 0.0, LOADED, INIT, 0.2),
    "K23-6, over random": (1, "above", 0.0, LOADED, "random", 0.2),
    "P21-1, as good": (0, "above", -0.005, INIT, FULL, 0.5),
    "P21-1, over random": (1, "above", 0.0, INIT, "random", 0.5),
    "P21-2, as good": (0, "above", -0.005, "EL2N", FULL, 0.5),
    "P21-2, over random": (1, "above", 0.0, "EL2N", "random", 0.5),
    "P21-7, over random": (0, "above", 0.0, TRANSFER, "random", 0.2),
    "P21-7, own": (1, "above", -0.01, TRANSFER, "EL2N", 0.2),
}


def pair(name, values, others):
    """A table of the two arms of a part at equal steps, and of the same arms as no rule reads them: at equal epochs."""
    *_, one, two, fraction = PAIRS[name]
    made = []
    for each, given, wrong in ((one, values, 0.0), (two, others, 1.0)):
        made += rows(arm(STANDARD, "digits", each, fraction, "steps"), given)
        made += rows(arm(STANDARD, "digits", each, fraction, "epochs"), [wrong] * 5) if each != FULL else []
    return pd.DataFrame(made)


@pytest.mark.parametrize("name", PAIRS)
def test_a_part_holds_on_its_side_of_the_margin_and_fails_on_the_other(name):
    place, sign, margin, *_ = PAIRS[name]
    for gain, outcome in ((0.001, "holds"), (-0.001, "fails"), (0.0, "undecided")):
        mean = 0.5 + margin + (gain if sign == "above" else -gain)
        made = pair(name, around(mean, wobble=1e-4), [0.5] * 5)
        assert ledger.decide(name.split(",")[0], STANDARD, made).parts[place].outcome == outcome


@pytest.mark.parametrize("name", PAIRS)
def test_a_run_missing_from_each_arm_leaves_the_seeds_that_both_have(name):
    others = [0.1, 0.3, 0.5, 0.7, 0.9]
    values = [value + 0.01 * (seed + 1) for seed, value in enumerate(others)]
    values[1] = others[3] = None
    made = pair(name, values, others).sample(frac=1, random_state=0)
    found = ledger.decide(name.split(",")[0], STANDARD, made).parts[PAIRS[name][0]]
    assert found.n == 3 and (found.effect, found.low, found.high) == pytest.approx(interval([0.01, 0.03, 0.05]))


@pytest.mark.parametrize("claim, column, margin", [("K23-5", "grand", 0.9), ("P21-8", "forgetting", 0.7)])
def test_parts_about_scores_hold_above_their_margin(monkeypatch, claim, column, margin):
    for gain, outcome in ((0.001, "holds"), (-0.001, "fails"), (0.0, "undecided")):
        values = around(margin + gain, wobble=1e-4)
        made = pd.DataFrame([{"task": task, "seed": seed, "grand": 0.1, "forgetting": 0.1} | {column: value - other}
                             for task, other in (("digits", 0), ("another", 0.5)) for seed, value in enumerate(values)])
        monkeypatch.setattr(chapter.rules, "likeness", lambda *given, made=made: made)
        assert ledger.decide(claim, STANDARD, pd.DataFrame()).parts[0].outcome == outcome


def ranked(norm, rho, seed=0):
    """Values whose Spearman correlation with `norm` is `rho` to three digits."""
    low, high, noise = 0.0, 1.0, np.random.default_rng(0).permutation(norm)
    for _ in range(40):
        mix = (low + high) / 2
        low, high = (mix, high) if spearmanr((1 - mix) * norm + mix * noise, norm)[0] > rho else (low, mix)
    return (1 - mix) * norm + mix * noise + 1e-3 * np.random.default_rng(seed).normal(size=len(norm))


NORM = np.linspace(1, 2, 500)


def untrained(monkeypatch, plain, white):
    """A table of untrained networks whose GraNd is given by seed, under standardised and under whitened inputs."""
    grand, norms = {"standardised": plain, "whitened": white}, {"standardised": NORM, "whitened": NORM[::-1]}
    monkeypatch.setattr(runs, "score_values", lambda run, name, at: (
        norms[run["inputs"]] if name == "input_norm" else grand[run["inputs"]][run["seed"]]))
    return pd.DataFrame([row for inputs, some in grand.items() for row in
                         rows([run for run in chapter.runs.probes(STANDARD, "digits")["convnet", inputs] if run["seed"] in some],
                              [np.nan] * len(some))])


@pytest.mark.parametrize("plain, white, outcomes", [
    (0.81, 0.2, ["holds", "holds"]), (0.79, 0.2, ["fails", "holds"]),
    (0.9, 0.69, ["holds", "holds"]), (0.9, 0.71, ["holds", "fails"]),
])
def test_the_rho_of_the_average_and_its_drop_know_their_margins(monkeypatch, plain, white, outcomes):
    grand = [{seed: ranked(NORM, rho, seed) for seed in range(10)} for rho in (plain, white)]
    found = ledger.decide("K23-3", STANDARD, untrained(monkeypatch, *grand)).parts
    assert [(part.outcome, part.n) for part in found] == [(outcome, 10) for outcome in outcomes]
    assert [part.effect for part in found] == pytest.approx([plain, plain - white], abs=0.005)


def test_a_drop_is_that_of_the_networks_which_both_have(monkeypatch):
    """The networks that are missing from one of the two rank the other way round, a hundred times as strongly."""
    plain, white = ({seed: ranked(NORM, rho, seed) for seed in range(5)} for rho in (0.9, 0.5))
    both = ({seed: some[seed] for seed in (0, 2, 4)} for some in (plain, white))
    common = ledger.decide("K23-3", STANDARD, untrained(monkeypatch, *both)).parts[1]
    plain[3], white[1] = -100 * NORM, 100 * NORM
    del plain[1], white[3]
    first, drop = ledger.decide("K23-3", STANDARD, untrained(monkeypatch, plain, white)).parts
    assert drop == common and drop.n == 3
    assert first.n == 4 and first.effect < 0


def test_one_untrained_network_is_drawn_and_decides_nothing(monkeypatch):
    one = {4: ranked(NORM, 0.9)}
    table = untrained(monkeypatch, one, one)
    assert [part.outcome for part in ledger.decide("K23-3", STANDARD, table).parts] == ["no runs", "no runs"]
    found = chapter.runs.correlations(STANDARD, table)
    assert list(found["seed"]) == [4, 4] and found["pixels"].tolist() == pytest.approx([0.9] * 2, abs=0.005)
    pd.testing.assert_series_equal(found["pixels"], found["pixels_mean"], check_names=False)
    assert found["seen"].tolist() == pytest.approx([0.9, -0.9], abs=0.005)


# Its tables, with runs missing

def drawn(run, name, at):
    """A score that every run has of its own: of one GraNd, whatever the seed, with noise that the seed draws."""
    common, own = (np.random.default_rng([len(name), *map(ord, str(at)), seed]).normal(size=50) for seed in (0, 1 + run["seed"]))
    return common + own


@pytest.fixture
def gaps(monkeypatch):
    """A table of scoring runs without seed 0, and of untrained networks without seed 2."""
    monkeypatch.setattr(runs, "score_values", drawn)
    full, fresh = chapter.runs.trained(STANDARD, "digits"), chapter.runs.untrained(STANDARD, "digits")
    made = rows(full, [None, *[0.5] * 4]) + rows(fresh, [None if seed == 2 else 0.5 for seed in range(10)])
    return pd.DataFrame(made).sample(frac=1, random_state=0)


def test_standing_with_runs_missing(gaps):
    found = chapter.runs.standing(STANDARD, gaps).set_index(["score", "seed"])
    assert list(found.loc["EL2N"].index) == [1, 2, 3, 4] and list(found.loc[INIT].index) == [0, 1, 3, 4, 5, 6, 7, 8, 9]
    full = chapter.runs.trained(STANDARD, "digits")
    early, late = ({seed: drawn(full[seed], "el2n", at) for seed in (1, 2, 3, 4)} for at in ("2ep", "8ep"))
    for name, some in (("reliability", early), ("validity", late)):
        others = np.mean([some[seed] for seed in (1, 2, 4)], axis=0)
        assert found.loc[("EL2N", 3), name] == pytest.approx(spearmanr(early[3], others)[0])
    everyone = np.mean(list(late.values()), axis=0)  # no scoring run has the seed of the network 7: all of them are others
    fresh = drawn(chapter.runs.untrained(STANDARD, "digits")[7], "grand", 0)
    assert found.loc[(INIT, 7), "validity"] == pytest.approx(spearmanr(fresh, everyone)[0])


def test_likeness_with_runs_missing(gaps):
    found, full = chapter.runs.likeness(STANDARD, gaps).set_index("seed"), chapter.runs.trained(STANDARD, "digits")
    assert list(found.index) == [1, 2, 3, 4] and found["loaded"].isna().tolist() == [False, True, False, False]
    counts = np.mean([drawn(full[seed], "forgetting", "8ep") for seed in (1, 2, 4)], axis=0)
    assert found.loc[3, "forgetting"] == pytest.approx(spearmanr(drawn(full[3], "el2n", "2ep"), counts)[0])
    asked = drawn(chapter.runs.untrained(STANDARD, "digits")[4], "grand", 0)
    assert found.loc[4, "loaded"] == pytest.approx(spearmanr(drawn(full[4], "grand", "8ep"), asked)[0])
    alone = gaps[gaps["key"] == runs.key(full[3])]
    assert chapter.runs.likeness(STANDARD, alone)[["forgetting", "loaded"]].isna().all(axis=None)


def test_halves_share_no_network_and_leave_one_out_where_they_are_odd(gaps):
    found = chapter.runs.halves(STANDARD, gaps, draws=3)
    assert list(found["runs"]) == [4] * 3
    fresh = {seed: drawn(run, "grand", 0) for seed, run in enumerate(chapter.runs.untrained(STANDARD, "digits"))}
    left, right = (np.mean([fresh[seed] for seed in half], axis=0) for half in ((0, 1, 3, 4), (5, 6, 7, 8)))
    assert found["rho"].iloc[0] == pytest.approx(spearmanr(left, right)[0])


@pytest.mark.parametrize("name, columns", [("correlations", 9), ("standing", 5), ("halves", 3), ("likeness", 5)])
def test_empty_tables_have_their_columns(name, columns):
    found = getattr(chapter.runs, name)(STANDARD, pd.DataFrame())
    assert found.shape == (0, columns)
