"""Label noise: measures against slow truths and other people's code, the outside method, rules on tables made by hand, a page."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score
from small import config, settings, words  # noqa: F401
from test_rules import around, rows, table

from datadiet import runs, scores
from datadiet.chapters import ledger, pages
from datadiet.chapters.arms import scoring, settings_of
from datadiet.chapters.drawing import View
from datadiet.chapters.label_noise import runs as noise
from datadiet.chapters.label_noise.figures import dropping, finding_flips, finding_flips_by_rate, human_errors, noisy_windows
from datadiet.chapters.label_noise.runs import label_noise
from datadiet.errors import InputError
from datadiet.training import frozen

RATES = {"rates": [0.0, 0.1], "tasks": {"words": [0.9]}, "timing_fraction": 0.4, "offsets": [0.1], "score_at": [0, "1ep", "2ep"],
         "people": {}}


@pytest.mark.parametrize("seed", range(5))
def test_measures_are_those_of_scikit_learn_ties_and_all(seed):
    rng = np.random.default_rng(seed)
    values, wrong = rng.integers(0, 12, 60).astype(float), rng.random(60) < 0.2
    wrong[:2] = True, False
    assert noise.auroc(values, wrong) == pytest.approx(roc_auc_score(wrong, values))
    assert noise.average_precision(values, wrong) == pytest.approx(average_precision_score(wrong, values))
    n, draws = wrong.sum(), []
    for _ in range(4000):  # the slow truth: break ties at random
        order = np.lexsort((rng.random(60), -values))
        draws.append(wrong[order[:n]].mean())
    assert noise.recall(values, wrong) == pytest.approx(np.mean(draws), abs=0.01)


def test_infinite_scores_are_ranked_first():
    values, wrong = np.array([np.inf, 1.0, 0.0, np.inf]), np.array([True, False, False, True])
    assert [of(values, wrong) for of in noise.MEASURES.values()] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("classes, same", [(2, True), (3, False), (6, False)])
def test_with_two_classes_el2n_loss_and_margin_are_one_ranking(classes, same):
    rng = np.random.default_rng(0)
    probs, labels = rng.dirichlet(np.ones(classes), 300), rng.integers(0, classes, 300)
    orders = [np.argsort(score(probs, labels), kind="stable") for score in (scores.el2n, scores.cross_entropy, scores.margin)]
    assert all(np.array_equal(orders[0], order) for order in orders[1:]) is same


def test_cleanlab_ranks_as_loss_and_margin_do():
    from cleanlab.rank import get_label_quality_scores

    rng = np.random.default_rng(0)
    probs, labels = rng.dirichlet(np.ones(4), 300), rng.integers(0, 4, 300)
    loss, margin = scores.cross_entropy(probs, labels), scores.margin(probs, labels)
    assert get_label_quality_scores(labels, probs, method="self_confidence") == pytest.approx(np.exp(-loss))
    theirs = get_label_quality_scores(labels, probs, method="normalized_margin")
    assert np.array_equal(np.argsort(-theirs, kind="stable"), np.argsort(margin, kind="stable"))


def test_out_of_fold_is_never_fitted_on_the_example(words):  # noqa: F811
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.preprocessing import StandardScaler

    run = config(folds=3, score_at=[0], noise=0.1)
    task = runs.task_of(run)
    fitted = frozen.out_of_fold(run, task)
    vectors = frozen.features(run, task)
    slow = np.empty((len(vectors), 3))
    split = StratifiedKFold(3, shuffle=True, random_state=run["seed"])
    for fit, held in split.split(vectors, task.train.labels):
        scale = StandardScaler().fit(vectors[fit])
        model = LogisticRegression(C=0.01, max_iter=1000).fit(scale.transform(vectors[fit]), task.train.labels[fit])
        slow[held] = model.predict_proba(scale.transform(vectors[held]))
    assert runs.probabilities(fitted.arrays["logits"][0]) == pytest.approx(slow, abs=1e-6)
    assert (fitted.arrays["labels"] != fitted.arrays["truth"]).sum() == round(0.1 * len(vectors))
    assert runs.key(run) != runs.key(config(score_at=[0], noise=0.1))
    assert runs.key(config(folds=0)) == runs.key({k: v for k, v in config().items() if k != "folds"})


@pytest.mark.parametrize("change, said", [
    ({"folds": 1}, "at least 2 folds"),
    ({"folds": 3, "keep": {"fraction": 0.5}}, "no pruning"),
    ({"folds": 3, "score_at": []}, "one scoring point"),
    ({"folds": 40}, "fewer folds, or more examples"),
])
def test_what_cannot_be_cross_fitted_says_so(words, change, said):  # noqa: F811
    run = config(**({"score_at": [0]} | change))
    with pytest.raises(InputError, match=said):
        frozen.out_of_fold(run, runs.task_of(run))


SETTINGS = settings_of("standard", noise_tasks={"t": [0.9]}, noise_rates=[0.0, 0.1], noise_score_at=["1ep"])


def arms(gain_clean=0.0, gain_noisy=0.05, against_full=0.01, against_random=0.02):
    noisy = {"noise": 0.1, "folds": 0}
    windows = [(0.0, 0.0, 0), (0.0, 0.1, gain_clean), (0.1, 0.0, 0), (0.1, 0.1, gain_noisy)]
    return table(
        rows("full", around(0.8), 1.0, **noisy),
        rows("hardest", around(0.8 + against_full, wobble=0.0005), 0.9, at="1ep", offset=0.1, **noisy),
        rows("random", around(0.8 + against_full - against_random, wobble=0.002), 0.9, **noisy),
        *(rows("hardest", around(0.6 + gain, wobble=0.0005 * i**2), 0.4, at="1ep", offset=offset, noise=rate, folds=0)
          for i, (rate, offset, gain) in enumerate(windows)),
    )


@pytest.mark.parametrize("gains, claim, verdict", [
    ({}, "P21-5n", "reproduced"),
    ({"gain_clean": 0.1}, "P21-5n", "partly reproduced"),  # helps, but with clean labels it helps more
    ({"gain_noisy": -0.05}, "P21-5n", "not reproduced"),
    ({}, "BDD-4n", "reproduced"),
    ({"against_random": -0.02}, "BDD-4n", "partly reproduced"),  # dropping helps, and at random even more
    ({"against_full": -0.05, "against_random": -0.02}, "BDD-4n", "not reproduced"),
])
def test_rules_for_noisy_labels(gains, claim, verdict):
    assert ledger.decide(claim, SETTINGS, arms(**gains)).verdict == verdict


@pytest.mark.parametrize("claim", ["P21-9", "P21-5n", "BDD-4n"])
def test_no_runs_no_verdict(claim):
    assert ledger.decide(claim, SETTINGS, pd.DataFrame()).verdict == "no runs yet"


def test_the_cross_fitted_run_is_not_mistaken_for_the_full_data():
    made = pd.concat([arms(), table(rows("full", [0.1], 1.0, noise=0.1, folds=5))], ignore_index=True)
    assert noise.dropped(made, "t", 0.1, "random", 1.0).mean() == pytest.approx(0.8)


@pytest.mark.parametrize("quality, verdict", [(2.0, "reproduced"), (0.0, "not reproduced")])
def test_flips_at_the_top(monkeypatch, quality, verdict):
    def arrays(key):
        rng = np.random.default_rng(int(key[:8], 16))
        truth = rng.integers(0, 3, 200)
        labels = np.where(np.arange(200) < 20, (truth + 1) % 3, truth)
        return {"labels": labels, "truth": truth, "logits": (quality * np.eye(3)[truth] + rng.normal(size=(200, 3)))[None]}

    monkeypatch.setattr(runs.store, "arrays", arrays)
    full = settings_of("standard", "label-noise") | {"tasks": {"t": []}, "rates": [0.1], "score_at": ["1ep"]}
    keys = [runs.key(run) for run in scoring(noise.at_rate(full, 0.1), "t")]


    outcomes = [part.outcome for part in rules.RULES["P21-9"](full, pd.DataFrame({"key": keys}))]
    assert ledger.verdict_of(outcomes) == verdict


@pytest.fixture
def real(words):  # noqa: F811
    chosen = settings(seeds=2) | RATES
    return chosen, runs.sweep(label_noise(chosen))


def test_tables_figures_and_examples_on_real_runs(real, monkeypatch):
    import matplotlib

    matplotlib.use("Agg")
    chosen, found = real
    assert len(found) == 2 * (2 + 2 * 2 + 2 * 2) + 1
    tidy = noise.detection(chosen, found)
    assert set(tidy["score"]) == {*noise.SCORES, noise.OUTSIDE} and tidy[list(noise.MEASURES)].stack().between(0, 1).all()
    assert {name: set(tidy.loc[tidy["score"] == name, "at"]) for name in ("forgetting", "aum")} == {
        "forgetting": {"2ep"}, "aum": {"1ep", "2ep"}}
    assert noise.against_cleanlab(chosen, found).filter(like="rho").to_numpy() == pytest.approx(1.0)
    assert noise.confident_learning(chosen, found)["flips"].tolist() == [5]
    assert len(noise.one_ranking(chosen, found)) == 2
    side, empty = View("This machine", chosen, found), View("Published", chosen, pd.DataFrame())
    for draw in (finding_flips, finding_flips_by_rate, dropping, noisy_windows):
        figure = draw([side, empty])
        assert len([ax for ax in figure.axes if ax.get_title() or ax.texts]) == 2
        figure.clear()

    ends = noise.extremes(chosen, found, "words", 2)
    mean = ends.groupby("end")["el2n"].mean()
    assert len(ends) == 3 * 2 * 2 and mean["hardest"] > mean["easiest"]
    task = runs.task_of(scoring(noise.at_rate(chosen, 0.1), "words")[0])
    assert (task.train.labels[ends["position"]] == ends["label"]).all() and (task.truth[ends["position"]] == ends["truth"]).all()
    shown = pages.examples(side, n=40)  # all of them: every flip is marked, with the label it had
    assert shown.text.count("FLIPPED, was") == 5 * 2 and "no runs are stored yet" in pages.examples(empty).text

    task.train.inputs["text"][int(ends["position"].iloc[0])] = "<script>alert()</script>"
    with monkeypatch.context() as patch:
        patch.setattr(runs, "task_of", lambda run: task)
        assert "<script>" not in (html := pages.examples(side).html) and "&lt;script&gt;" in html

    changed = View("This machine", chosen, found.assign(data_checksum="another"))
    assert "another checksum" in pages.examples(changed).text
    runs._task.cache_clear()
    monkeypatch.delenv("DATADIET_DATA")
    without = pages.examples(side)
    assert "hold no texts" in without.text and "apple" not in without.html


@pytest.fixture
def people(words):  # noqa: F811
    """Images of two classes, a tenth of whose training labels people got wrong."""
    rng, names = np.random.default_rng(0), json.dumps(["dark", "light"])
    for split, n in (("train", 80), ("test", 20)):
        labels = np.arange(n) % 2
        pixels = [(rng.integers(0, 200, (8, 8, 3)) + 50 * label).astype(np.uint8) for label in labels]
        columns = {"image": [encoded(each) for each in pixels], "label": labels}
        (words / "data" / "cifar10").mkdir(exist_ok=True)
        table = pa.table(columns).replace_schema_metadata({"label_names": names})
        pq.write_table(table, words / "data" / "cifar10" / f"{split}.parquet")
    right = np.arange(80) % 2
    worst = np.where(np.arange(80) < 8, 1 - right, right)
    (words / "data" / "cifar10n").mkdir()
    pq.write_table(pa.table({"clean_label": right, "worst_label": worst}), words / "data" / "cifar10n" / "train.parquet")
    theirs = {"people": {"cifar10n:worst_label": 0.1}, "people_at": ["1ep", "2ep"]}
    return settings(seeds=2) | RATES | {"tasks": {}, "image_size": None} | theirs


def encoded(pixels) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_errors_that_people_made_stand_beside_as_many_drawn_ones(people):
    import matplotlib

    matplotlib.use("Agg")
    found = runs.sweep(label_noise(people))
    assert len(found) == 2 * 2 * 3 and set(found["task"]) == {"cifar10", "cifar10n:worst_label"}
    tidy = noise.human_detection(people, found)
    assert set(tidy["kind"]) == {noise.PEOPLE, noise.DRAWN} and set(tidy["noise"]) == {0.1}
    run = noise.human_arms(people, "cifar10n:worst_label", noise.PEOPLE)["full"][0]
    held = runs.store.arrays(runs.key(run))
    assert np.flatnonzero(held["labels"] != held["truth"]).tolist() == list(range(8)), "the errors are theirs, and no others"
    row = tidy[(tidy["kind"] == noise.PEOPLE) & (tidy["seed"] == 0) & (tidy["at"] == "1ep") & (tidy["score"] == "el2n")]
    assert row["auroc"].item() == noise.auroc(runs.values_from(held, "el2n", 0), held["labels"] != held["truth"])
    drops = noise.human_drops(people, found)
    assert len(drops) == len(found) and set(drops["arm"]) == {"full", "hardest", "random"}
    for arm, kept in {"full": 80, "hardest": 72, "random": 72}.items():
        asked = noise.human_arms(people, "cifar10n:worst_label", noise.DRAWN)[arm]
        assert set(found[found["key"].isin([runs.key(run) for run in asked])]["n_kept"]) == {kept}
        assert {run["optimizer"] for run in asked + [run["keep"]["source"] for run in asked if arm == "hardest"]} == {"sgd"}
    side, empty = View("This machine", people, found), View("Published", people, pd.DataFrame())
    figure = human_errors([side, empty])
    assert [ax.get_title() for ax in figure.axes][0] == "This machine: cifar10n:worst_label, smoke" and figure.axes[1].texts
    assert not len(noise.human_detection(people, pd.DataFrame())) and not len(noise.human_drops(people, pd.DataFrame()))
