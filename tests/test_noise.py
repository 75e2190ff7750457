"""Label noise: measures against slow truths and other people's code, the outside method, rules on tables made by hand, a page."""

import io
import json

import matplotlib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small import around, config, outcome_of, rows, settings, words  # noqa: F401

from datadiet import runs, scores
from datadiet.chapters import label_noise, ledger
from datadiet.chapters.arms import by_seed
from datadiet.chapters.label_noise import runs as noise
from datadiet.chapters.views import View, Views
from datadiet.errors import InputError
from datadiet.training import frozen

matplotlib.use("Agg")


def slow_measures(values, wrong, rng):
    """The definitions: over all pairs, over all thresholds, and over many ways to break ties."""
    pairs = [(a > b) + (a == b) / 2 for a in values[wrong] for b in values[~wrong]]
    precision, before = 0.0, 0.0
    for threshold in sorted(set(values), reverse=True):
        taken = values >= threshold
        precision += (wrong[taken].sum() / wrong.sum() - before) * wrong[taken].mean()
        before = wrong[taken].sum() / wrong.sum()
    draws = [wrong[np.lexsort((rng.random(len(values)), -values))[: wrong.sum()]].mean() for _ in range(4000)]
    return {"auroc": np.mean(pairs), "ap": precision, "recall": np.mean(draws)}


@pytest.mark.parametrize("seed", range(5))
def test_measures_are_their_definitions_ties_and_infinity_among_them(seed):
    rng = np.random.default_rng(seed)
    values, wrong = rng.integers(0, 12, 60).astype(float), rng.random(60) < 0.2
    wrong[:2] = True, False
    values[values == 11] = np.inf
    slow, fast = slow_measures(values, wrong, rng), noise.measures(values, wrong)
    assert fast["auroc"] == pytest.approx(slow["auroc"]) and fast["ap"] == pytest.approx(slow["ap"])
    assert fast["recall"] == pytest.approx(slow["recall"], abs=0.01)


def test_infinite_scores_are_ranked_first():
    values, wrong = np.array([np.inf, 1.0, 0.0, np.inf]), np.array([True, False, False, True])
    assert noise.measures(values, wrong) == {"auroc": 1.0, "ap": 1.0, "recall": 1.0}


@pytest.mark.parametrize("wrong, said", [([False, False], "0 of 2 labels are wrong"), ([True, True], "2 of 2 labels are wrong")])
def test_nothing_to_find_is_no_measure(wrong, said):
    with pytest.raises(InputError, match=said):
        noise.measures(np.array([1.0, 2.0]), np.array(wrong))


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
    with pytest.raises(InputError, match=said):
        run = config(**({"score_at": [0]} | change))
        frozen.out_of_fold(run, runs.task_of(run))


# --- The rules, on tables made by hand

SETTINGS = settings("label-noise", seeds=5, tasks=["t"], fractions=[0.9], fraction=0.4, rates=[0.0, 0.1], offsets=[0.1],
                    score_at=[0, "1ep"])


def full(rate=0.1):
    return noise.full(SETTINGS, "t", rate)


def without(rule, rate=0.1):
    return noise.without(SETTINGS, "t", rate, rule, 0.9)


def window(rate, offset):
    return noise.window(SETTINGS, "t", rate, offset)


def made(gain_clean=0.0, gain_noisy=0.05, against_full=0.01, against_random=0.02):
    windows = [(0.0, 0.0, 0), (0.0, 0.1, gain_clean), (0.1, 0.0, 0), (0.1, 0.1, gain_noisy)]
    out = rows(full(), around(0.8)) + rows(without("hardest"), around(0.8 + against_full, wobble=0.0005))
    out += rows(without("random"), around(0.8 + against_full - against_random, wobble=0.002))
    for i, (rate, offset, gain) in enumerate(windows):
        out += rows(window(rate, offset), around(0.6 + gain, wobble=0.0005 * i**2))
    return pd.DataFrame(out)


@pytest.mark.parametrize("gains, claim, said", [
    ({}, "P21-5n", "agrees"),
    ({"gain_clean": 0.1}, "P21-5n", "partly"),  # helps, but with clean labels it helps more
    ({"gain_noisy": -0.05}, "P21-5n", "disagrees"),
    ({}, "BDD-4n", "agrees"),
    ({"against_random": -0.02}, "BDD-4n", "partly"),  # dropping helps, and at random even more
    ({"against_full": -0.05, "against_random": -0.02}, "BDD-4n", "disagrees"),
])
def test_rules_for_noisy_labels(gains, claim, said):
    assert outcome_of(claim, SETTINGS, made(**gains)) == said


def test_parts_say_what_they_are_about():
    empty, claims = pd.DataFrame(), label_noise.rules.RULES
    names = {claim: [each.name for each in ledger.decide(claim, SETTINGS, empty).parts] for claim in claims}
    assert names == {
        "P21-9": ["t: AUROC of the flips by EL2N at one epoch, 10% flipped", "t: share of the n flips among the n hardest"],
        "BDD-4n": [f"t, 10% flipped: without the hardest 10% - {other}" for other in ("full data", "without a random 10%")],
        "P21-5n": [f"t: hardest after skipping the top 10% - hardest{end}"
                   for end in (", 10% flipped", ": the same at 10% - at 0% flipped")],
    }


# Each part: the runs that it is about, those it is compared with, and its margin; all are claimed to lie above it.
PARTS = [
    ("BDD-4n", 0, without("hardest"), full(), -0.005), ("BDD-4n", 1, without("hardest"), without("random"), 0.0),
    ("P21-5n", 0, window(0.1, 0.1), window(0.1, 0.0), 0.0), ("P21-5n", 1, window(0.1, 0.1), window(0.0, 0.1), 0.0),
]


@pytest.mark.parametrize("claim, place, arm, other, margin", PARTS)
@pytest.mark.parametrize("gain, outcome", [(0.001, "holds"), (-0.001, "fails"), (0.0, "undecided")])
def test_a_part_holds_above_its_margin_and_fails_below(claim, place, arm, other, margin, gain, outcome):
    table = rows(other, [0.5] * 5) + rows(arm, around(0.5 + margin + gain, wobble=1e-4))
    if place == 1 and claim == "P21-5n":  # what is not skipped is the same at both rates
        table += rows(window(0.1, 0.0), [0.5] * 5) + rows(window(0.0, 0.0), [0.5] * 5)
    assert ledger.decide(claim, SETTINGS, pd.DataFrame(table)).parts[place].outcome == outcome


@pytest.mark.parametrize("column, place, margin", [("auroc", 0, 0.7), ("recall", 1, 0.3)])
@pytest.mark.parametrize("gain, outcome", [(0.001, "holds"), (-0.001, "fails"), (0.0, "undecided")])
def test_the_flips_are_found_above_each_margin_of_p21_9(monkeypatch, column, place, margin, gain, outcome):
    measured = {"auroc": [0.5] * 5, "recall": [0.5] * 5} | {column: around(margin + gain, wobble=1e-4)}
    monkeypatch.setattr(label_noise.rules, "detection", lambda *given: pd.DataFrame({"seed": range(5)} | measured))
    assert ledger.decide("P21-9", SETTINGS, pd.DataFrame()).parts[place].outcome == outcome


@pytest.mark.parametrize("claim", ["P21-9", "P21-5n", "BDD-4n"])
def test_no_runs_no_verdict(claim):
    assert ledger.decide(claim, SETTINGS, pd.DataFrame()).verdict == "no runs yet"


SPREAD = np.array([0.5, 0.6, 0.7, 0.8, 0.9])  # seeds differ by far more than arms do


def _missing(values, *seeds):
    return [None if seed in seeds else value for seed, value in enumerate(values)]


def test_runs_missing_from_either_arm_leave_the_seeds_that_both_have():
    seeds = np.arange(5)
    table = rows(full(), _missing(SPREAD, 0)) + rows(without("random"), _missing(SPREAD - 0.01, 1, 2))
    table += rows(without("hardest"), _missing(SPREAD + 0.02 * seeds, 4))
    first, second = ledger.decide("BDD-4n", SETTINGS, pd.DataFrame(table).sample(frac=1, random_state=0)).parts
    assert first.n == 3 and first.effect == pytest.approx(0.02 * 2)  # seeds 1, 2 and 3
    assert second.n == 2 and second.effect == pytest.approx(0.01 + 0.02 * 1.5)  # seeds 0 and 3


def test_runs_missing_from_any_window_leave_the_seeds_that_all_have():
    seeds = np.arange(5)
    table = rows(window(0.1, 0.0), _missing(SPREAD, 0)) + rows(window(0.1, 0.1), _missing(SPREAD + 0.02 * seeds, 4))
    table += rows(window(0.0, 0.0), _missing(SPREAD - 0.3, 2)) + rows(window(0.0, 0.1), SPREAD - 0.3 - 0.01 * seeds)
    noisy, more = ledger.decide("P21-5n", SETTINGS, pd.DataFrame(table).sample(frac=1, random_state=0)).parts
    assert noisy.n == 3 and noisy.effect == pytest.approx(0.02 * 2)  # seeds 1, 2 and 3
    assert more.n == 2 and more.effect == pytest.approx(0.03 * 2)  # seeds 1 and 3


def test_the_cross_fitted_run_is_not_mistaken_for_the_full_data():
    table = pd.DataFrame(rows(full(), around(0.8)) + rows(noise.cross_fitted(SETTINGS, "t", 0.1), [0.1]))
    assert by_seed(table, full()).mean() == pytest.approx(0.8) and len(by_seed(table, full())) == 5


def arrays_of(qualities):
    """What runs recorded, by key: 20 of 200 labels wrong, and how well the logits know the truth, by scoring point."""
    def arrays(key):
        rng = np.random.default_rng(int(key[:8], 16))
        truth = rng.integers(0, 3, 200)
        labels = np.where(np.arange(200) < 20, (truth + 1) % 3, truth)
        logits = [quality * np.eye(3)[truth] + rng.normal(size=(200, 3)) for quality in qualities[key]]
        return {"labels": labels, "truth": truth, "logits": np.array(logits)}
    return arrays


@pytest.mark.parametrize("quality, said", [(2.0, "agrees"), (0.0, "disagrees")])
def test_flips_at_the_top(monkeypatch, quality, said):
    """Of one rate and one scoring point; runs at another rate, and the other point, know the opposite."""
    qualities = {runs.key(run): (2.0 - quality, quality) for run in full(0.1)}
    qualities |= {runs.key(run): (quality, 2.0 - quality) for run in full(0.2)}
    monkeypatch.setattr(runs.store, "arrays", arrays_of(qualities))
    table = pd.DataFrame(rows(full(0.2), [0.5] * 5) + rows(full(0.1), [0.5] * 5))
    assert outcome_of("P21-9", SETTINGS, table) == said
    first, second = ledger.decide("P21-9", SETTINGS, table.iloc[:-2]).parts  # two runs missing: three seeds are left
    found = noise.detection(table, full(0.1), ["el2n"], ["1ep"]).set_index("seed").loc[[0, 1, 2]]
    assert (first.n, second.n) == (3, 3)
    assert (first.effect, second.effect) == (pytest.approx(found["auroc"].mean()), pytest.approx(found["recall"].mean()))


# --- Real runs

@pytest.fixture
def real(words):  # noqa: F811
    own = settings("label-noise", seeds=2, fractions=[0.9], score_at=[0, "1ep", "2ep"])
    return own, runs.sweep(noise.wanted(own))


def test_what_the_chapter_asks_for():
    own = settings("label-noise", seeds=2, fractions=[0.9, 0.95], rates=[0.0, 0.1, 0.2], offsets=[0.1])
    own["per_task"] = {"words": {"fractions": [0.8], "size": 20}}
    asked = noise.wanted(own)
    scored, outside, retrained = 2 * 3, 2, 2 * (2 * (1 * 2) + 2 * 2)
    assert len({runs.key(run) for run in asked}) == len(asked) == scored + outside + retrained
    assert {run["size"] for run in asked} == {20}
    kept = [run["keep"] for run in asked if run["keep"]]
    assert {(each["rule"], each["fraction"], each["offset"]) for each in kept} == {
        ("hardest", 0.8, 0.2), ("random", 0.8, 0.0), ("hardest", 0.4, 0.0), ("hardest", 0.4, 0.1)}
    assert [run["noise"] for run in asked if run["folds"]] == [0.1, 0.2]
    assert {run["keep"]["source"]["noise"] == run["noise"] for run in asked if run["keep"] and run["keep"]["source"]} == {True}


def test_tables_and_figures_on_real_runs(real):
    own, found = real
    assert len(found) == 2 * (2 + 2 * 2 + 2 * 2) + 1
    arm = noise.full(own, "words", 0.1)
    tidy = noise.detection(found, arm)
    assert set(tidy["score"]) == set(noise.SCORES) and tidy[list(noise.MEASURES)].stack().between(0, 1).all()
    assert {name: set(tidy.loc[tidy["score"] == name, "at"]) for name in ("forgetting", "aum")} == {
        "forgetting": {"2ep"}, "aum": {"1ep", "2ep"}}
    recorded = runs.store.arrays(runs.key(arm[1]))
    row = tidy[(tidy["seed"] == 1) & (tidy["at"] == "2ep") & (tidy["score"] == "margin")]
    assert row[list(noise.MEASURES)].iloc[0].to_dict() == noise.measures(
        runs.values_from(recorded, "margin", 2), recorded["labels"] != recorded["truth"])
    assert len(noise.outside(own, found, "words", 0.1)) == 1
    assert noise.against_cleanlab(own, found).filter(like="rho").to_numpy() == pytest.approx(1.0)
    assert noise.confident_learning(own, found)["flips"].tolist() == [5]
    assert noise.one_ranking(own, found)["seed"].tolist() == [0, 1]
    right = noise.not_flipped(own, found)
    el2n, wrong = runs.values_from(recorded, "el2n", 1), recorded["labels"] != recorded["truth"]
    top = sorted(range(len(el2n)), key=lambda i: -el2n[i])[:5]
    assert right.loc[right["seed"] == 1, "not_flipped"].tolist() == [
        sum(recorded["labels"][i] == label and not wrong[i] for i in top) for label in range(3)]
    views = [View("This machine", own, found), View("Published", own, pd.DataFrame())]
    figures = label_noise.figures
    for draw in (figures.finding_flips, figures.finding_flips_by_rate, figures.dropping, figures.windows):
        figure = draw(views)
        assert len([ax for ax in figure.axes if ax.get_title() or ax.texts]) == 2


def test_tables_do_without_the_first_seed_and_keep_their_columns_without_any(real):
    own, found = real
    arm = noise.full(own, "words", 0.1)
    part = found[found["key"] != runs.key(arm[0])].iloc[::-1]
    whole, fewer = (noise.detection(table, arm) for table in (found, part))
    pd.testing.assert_frame_equal(whole[whole["seed"] == 1].reset_index(drop=True), fewer)
    for table in (noise.one_ranking, noise.against_cleanlab, noise.not_flipped):
        whole, fewer, empty = (table(own, some) for some in (found, part, pd.DataFrame()))
        pd.testing.assert_frame_equal(whole[whole["seed"] == 1].reset_index(drop=True), fewer)
        assert not len(empty) and list(empty) == list(whole)
    recorded = runs.store.arrays(runs.key(arm[1]))
    ends = noise.extremes(own, part, "words")
    assert ends["el2n"].tolist() == runs.values_from(recorded, "el2n", 1)[ends["position"]].tolist()
    for some, whole in ((noise.detection(pd.DataFrame(), arm), noise.detection(found, arm)),
                        (noise.outside(own, pd.DataFrame(), "words", 0.1), noise.outside(own, found, "words", 0.1)),
                        (noise.confident_learning(own, pd.DataFrame()), noise.confident_learning(own, found)),
                        (noise.extremes(own, pd.DataFrame(), "words"), ends)):
        assert not len(some) and list(some) == list(whole) and len(whole)


def test_examples_are_shown_where_the_set_can_be_read_and_is_the_same(real, monkeypatch):
    own, found = real
    examples = label_noise.figures.examples
    ends = noise.extremes(own, found, "words", 2)
    mean = ends.groupby("end")["el2n"].mean()
    assert len(ends) == 3 * 2 * 2 and mean["hardest"] > mean["easiest"]
    arm = noise.full(own, "words", 0.1)
    task = runs.task_of(arm[0])
    assert (task.train.labels[ends["position"]] == ends["label"]).all() and (task.truth[ends["position"]] == ends["truth"]).all()
    view, empty = View("This machine", own, found), View("Published", own, pd.DataFrame())
    shown = examples([view], n=40)  # all of them: every flip is marked, with the label it had
    assert shown.text.count("FLIPPED, was") == 5 * 2 and "no runs are stored yet" in examples([empty]).text

    task.train.inputs["text"][int(ends["position"].iloc[0])] = "<script>alert()</script>"
    with monkeypatch.context() as patch:
        patch.setattr(label_noise.figures, "task_of", lambda run: task)
        assert "<script>" not in (html := examples([view]).html) and "&lt;script&gt;" in html

    changed = found.assign(data_checksum="another")
    for table in (changed, changed[changed["key"] != runs.key(arm[0])]):  # the first run is missing: the second one tells
        assert "another checksum" in examples([View("This machine", own, table)]).text
    runs._task.cache_clear()
    monkeypatch.delenv("DATADIET_DATA")
    without = examples(Views([empty], [view]))
    assert "hold no texts" in without.text and "apple" not in without.html and "no such file" not in without.html.lower()


# --- Labels that people gave

WORST = "cifar10n:worst_label"


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
    like = {"size": None, "validation": 0.0, "encoder": "convnet", "epochs": 2, "batch_size": 8, "learning_rate": 0.05,
            "optimizer": "sgd", "inputs": "standardised", "shifts": False}
    return settings("label-noise", seeds=2, tasks=[], people={WORST: 0.1}, people_at=["1ep", "2ep"], people_run=like)


def encoded(pixels) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_errors_that_people_made_stand_beside_as_many_drawn_ones(people):
    found = runs.sweep(noise.wanted(people))
    assert len(found) == 2 * 2 * 3 and set(found["task"]) == {"cifar10", WORST}
    arms = {kind: noise.people_arms(people, WORST, kind) for kind in noise.KINDS}
    recorded = runs.store.arrays(runs.key(arms[noise.PEOPLE]["full"][0]))
    assert np.flatnonzero(recorded["labels"] != recorded["truth"]).tolist() == list(range(8)), "their errors alone"
    drawn = runs.store.arrays(runs.key(arms[noise.DRAWN]["full"][0]))
    assert (drawn["labels"] != drawn["truth"]).sum() == 8 and (drawn["truth"] == recorded["truth"]).all()
    tidy = noise.detection(found, arms[noise.PEOPLE]["full"])
    row = tidy[(tidy["seed"] == 0) & (tidy["at"] == "1ep") & (tidy["score"] == "el2n")]
    expected = noise.measures(runs.values_from(recorded, "el2n", 0), recorded["labels"] != recorded["truth"])
    assert row["auroc"].item() == expected["auroc"]
    view, empty = View("This machine", people, found), View("Published", people, pd.DataFrame())
    for kind in noise.KINDS:
        for name, kept in {"full": 80, "hardest": 72, "random": 72}.items():
            asked = arms[kind][name]
            assert set(found[found["key"].isin([runs.key(run) for run in asked])]["n_kept"]) == {kept}
            assert {run["optimizer"] for run in asked + [run["keep"]["source"] for run in asked if name == "hardest"]} == {"sgd"}
            assert noise.people_accuracy(view, WORST, kind, name).index.tolist() == [0, 1]
            assert not len(noise.people_accuracy(empty, WORST, kind, name))
    assert {run["keep"]["at"] for run in arms[noise.DRAWN]["hardest"]} == {"1ep"}, "the first point says what is dropped"
    figure = label_noise.figures.people_errors([view, empty])
    assert [ax.get_title() for ax in figure.axes][0] == f"This machine: {WORST}, smoke" and figure.axes[1].texts


def test_people_run_is_complete(people):
    own = people["people_run"]
    lacking = {name: value for name, value in own.items() if name != "optimizer"}
    for given, said in ((lacking, "sets size, .*set these in it.* optimizer"), (own | {"momentum": 0.9}, "and no others"),
                        ({}, "sets nothing")):
        with pytest.raises(InputError, match=said):
            noise.wanted(people | {"people_run": given})
