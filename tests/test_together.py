"""All runs together: the table of arms against a slow truth, the formula by hand, and no leak from a set that is left out."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from small import config, rows, words  # noqa: F401 - a fixture

from datadiet import runs
from datadiet.chapters import pages
from datadiet.chapters import what_all_runs_say as chapter
from datadiet.chapters.what_all_runs_say import model
from datadiet.chapters.what_all_runs_say.runs import family
from datadiet.chapters.what_all_runs_say.tables import below_chance, beside, by_scoring_point, counted, groups, listed
from datadiet.errors import InputError
from datadiet.prune import keep
from datadiet.runs import recorded, store

matplotlib.use("Agg")


@pytest.fixture
def computed(words):  # noqa: F811
    """Scoring runs, pruned runs and random runs on "words", computed: configs by kind."""
    full = [config(seed=seed) for seed in range(3)]
    source = {name: value for name, value in full[0].items() if name != "seed"}
    pruned = [
        config(
            seed=seed,
            score_at=[],
            keep={
                "rule": rule,
                "fraction": 0.4,
                "balanced": balanced,
                "score": "el2n",
                "at": at,
                "seeds": [other for other in range(3) if other != seed],
                "source": source,
            },
        )
        for rule, balanced, at in (("hardest", False, "1ep"), ("hardest", True, 0), ("easiest", False, "1ep"))
        for seed in range(3)
    ]
    random = [config(seed=seed, score_at=[], keep={"rule": "random", "fraction": 0.4}) for seed in range(3)]
    lonely = config(seed=0, score_at=[], keep=pruned[0]["keep"] | {"fraction": 0.7})  # it has no random run beside it
    runs.sweep([*full, *pruned, *random, lonely])
    return {"full": full, "pruned": pruned, "random": random, "lonely": lonely}


def everything(computed) -> dict:
    return store.live([runs.key(run) for runs_ in computed.values() for run in (runs_ if isinstance(runs_, list) else [runs_])])


def test_the_table_is_the_slow_truth(computed):
    table = chapter.runs.by_run(everything(computed), "here")
    assert table.attrs["left out"] == {"no random run": 1} and len(table) == len(computed["pruned"])
    for run, seen in zip(computed["pruned"], (row for _, row in table.iterrows()), strict=False):
        run = next(
            each
            for each in computed["pruned"]
            if each["seed"] == seen["seed"] and each["keep"]["rule"] == seen["rule"] and each["keep"]["at"] == seen["at"]
        )
        sources = runs.scoring_runs(run)
        arrays = [store.arrays(runs.key(source)) for source in sources]
        labels, t = arrays[0]["labels"], sources[0]["score_at"].index(run["keep"]["at"])
        values = [np.mean([recorded.values_from(each, "el2n", t)[i] for each in arrays]) for i in range(len(labels))]
        kept = []
        groups_ = [labels == c for c in range(3)] if run["keep"]["balanced"] else [np.ones(len(labels), bool)]
        order = sorted(range(len(labels)), key=lambda i: (-values[i], i), reverse=run["keep"]["rule"] == "easiest")
        sizes = [None] * len(groups_)
        if run["keep"]["balanced"]:  # sizes by largest remainder are tested where they are made: here they are read
            chosen = keep(values, 0.4, "hardest", labels=labels)
            sizes = [int(group[chosen].sum()) for group in groups_]
        for group, size in zip(groups_, sizes, strict=True):
            kept += [i for i in order if group[i]][: round(0.4 * len(labels)) if size is None else size]
        end = sources[0]["score_at"].index("1ep")  # whatever the scoring point, asked at the end of the first epoch
        wrong = [np.mean([each["logits"][end][i].argmax() != labels[i] for each in arrays]) for i in range(len(labels))]
        shares = [[np.mean(labels[some] == c) for c in range(3)] for some in (kept, range(len(labels)))]
        assert seen["wrong"] == pytest.approx(np.mean([wrong[i] for i in kept]))
        assert seen["all wrong"] == pytest.approx(np.mean(wrong))
        assert seen["skew"] == pytest.approx(sum(abs(a - b) for a, b in zip(*shares, strict=True)) / 2)
        cell = np.mean([sum(each["logits"][end][i].argmax() == 1 and labels[i] == 2 for i in kept) for each in arrays])
        assert seen["kept table"][1, 2] == pytest.approx(cell)
        twin = next(each for each in computed["random"] if each["seed"] == run["seed"])
        found = store.live([runs.key(run), runs.key(twin)])
        assert (seen["accuracy"], seen["random"]) == tuple(
            found[runs.key(each)]["metrics"]["test_accuracy"] for each in (run, twin)
        )
    arms = chapter.runs.arms(table)
    assert len(arms) == 3 and set(arms["seeds"]) == {3}
    mine = table[table["rule"] == "easiest"]
    arm = arms[arms["rule"] == "easiest"].iloc[0]
    assert arm["gain"] == pytest.approx((mine["accuracy"] - mine["random"]).mean())
    assert arm["wrong"] == pytest.approx(mine["wrong"].mean()) and arm["above"] == pytest.approx(arm["full"] - 1 / 3)


def test_runs_whose_source_never_trained_ask_runs_that_did(computed):
    untrained = {name: value for name, value in config(epochs=0, score_at=[0]).items() if name != "seed"}
    odd = config(
        seed=0,
        score_at=[],
        keep={"rule": "hardest", "fraction": 0.4, "score": "el2n", "at": 0, "seeds": [1, 2], "source": untrained},
    )
    runs.sweep([odd])
    more = everything(computed | {"odd": [odd, *runs.scoring_runs(odd)]})
    table = chapter.runs.by_run(more, "here")
    row = table[table["score"].eq("el2n") & table["at"].eq(0) & ~table["of each class"]].iloc[0]
    labels = store.arrays(runs.key(computed["full"][1]))["labels"]
    wrong = np.mean([store.arrays(runs.key(computed["full"][seed]))["logits"][1].argmax(1) != labels for seed in (1, 2)])
    assert row["all wrong"] == pytest.approx(wrong)
    alone = {
        k: row
        for k, row in more.items()
        if runs.config(**row["config"])["keep"] in (None, odd["keep"]) or runs.config(**row["config"])["keep"]["rule"] == "random"
    }
    left = chapter.runs.by_run(alone, "here").attrs["left out"]
    assert left == {"no run that learned the set": 1}  # no other pruned run names a source that trained


def made_arms(rng, n_families=5, each=12, classes=3) -> pd.DataFrame:
    """Arms with random tables of counts, in families; the gains are noise."""
    out = []
    for f in range(n_families):
        for i in range(each):
            whole = rng.integers(5, 60, (classes, classes)) + 80 * np.eye(classes)
            kept = np.floor(whole * rng.uniform(0.05, 0.9, (classes, classes)))
            out.append(
                {
                    "family": f"set{f}",
                    "task": f"set{f}",
                    "size": None,
                    "noise": 0.0,
                    "encoder": "tiny",
                    "layers": None,
                    "epochs": 1,
                    "budget": "epochs",
                    "rule": ("hardest", "easiest")[i % 2],
                    "kept share": (i + 1) / 20,
                    "skipped": 0.0,
                    "of each class": False,
                    "score": "el2n",
                    "at": "1ep",
                    "scored by": "4 runs",
                    "classes": classes,
                    "examples": 100,
                    "label names": None,
                    "seeds": 5,
                    "blind": False,
                    "chance": 1 / classes,
                    "accuracy": 0.3,
                    "least": 0.2,
                    "most": 0.25,
                    "random": rng.uniform(0.4, 0.9),
                    "full": 0.8,
                    "above": 0.8 - 1 / classes,
                    "skew": rng.uniform(0, 0.6),
                    "wrong": 1 - np.trace(kept) / kept.sum(),
                    "all wrong": 1 - np.trace(whole) / whole.sum(),
                    "gain": rng.normal(0, 0.1),
                    "kept table": kept,
                    "whole table": whole,
                }
            )
    table = pd.DataFrame(out)
    return table.assign(low=table["gain"] - 0.02, high=table["gain"] + 0.02)


def fresh() -> np.random.Generator:
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print("seed", seed)
    return np.random.default_rng(seed)


def test_the_agreement_is_that_of_one_example_at_a_time():
    rng = fresh()
    kept, whole = rng.integers(0, 9, (3, 3)), rng.integers(1, 9, (3, 3))
    kept[0] = 0  # a group of which nothing is kept
    kept[1, 1] = 4
    decided, common, right = 1.5, 0.5, 0.0
    shares = [kept[:, y].sum() / kept.sum() for y in range(3)]
    for p in range(3):
        inside = [(kept[p, y] + shares[y]) / (kept[p].sum() + 1) for y in range(3)]
        chance = [inside[y] ** decided * shares[y] ** common for y in range(3)]
        for y in range(3):
            right += whole[p, y] * chance[y] / sum(chance)
    assert model.agreement(kept, whole, decided, common) == pytest.approx(right / whole.sum())


def test_a_subset_like_the_whole_is_foretold_to_gain_nothing_and_its_opposite_to_lose():
    arms = made_arms(fresh()).head(2)
    same, turned = np.array([[800.0, 200.0], [200.0, 800.0]]), np.array([[200.0, 800.0], [800.0, 200.0]])
    arms = arms.assign(random=0.8)
    for column, tables in (("kept table", [same, turned]), ("whole table", [same, same])):
        arms[column] = pd.Series(tables, index=arms.index)
    nothing, lost = model.foretold(arms, (2.0, 1.0))
    assert abs(nothing) < 1e-12 and lost < -0.5


def test_agreement_refuses_tables_it_cannot_read():
    with pytest.raises(InputError, match="neither empty"):
        model.agreement(np.zeros((2, 2)), np.ones((2, 2)))
    with pytest.raises(InputError, match=r"\(2, 2\) and \(3, 3\)"):
        model.agreement(np.ones((2, 2)), np.ones((3, 3)))


def test_noise_is_not_foretold_by_any_candidate():
    """Gains that are noise have an R2 of about 0 or below on sets left out; a leak would show as one well above."""
    rng = fresh()
    for _ in range(3):
        arms = made_arms(rng)
        found = model.compared(arms, model.on_grid(arms))
        assert (found["R2"] < 0.15).all(), found


@pytest.mark.parametrize("name", model.CANDIDATES)
def test_what_is_foretold_of_a_set_does_not_know_its_gains(name):
    arms = made_arms(fresh())
    mine = (arms["family"] == "set2").to_numpy()
    grid, other = model.on_grid(arms), arms.copy()
    other.loc[mine, "gain"] = -7.0 * other.loc[mine, "gain"] + 3
    one, two = (model.left_out(each, name, grid) for each in (arms, other))
    np.testing.assert_array_equal(one[mine], two[mine])
    if name not in ("formula, nothing to choose", model.OURS):
        assert not np.array_equal(one[~mine], two[~mine])  # the other sets are fitted with it


def test_the_choice_of_a_model_does_not_know_the_gains_of_the_set_left_out():
    arms = made_arms(fresh(), n_families=3)
    mine = (arms["family"] == "set1").to_numpy()
    grid, other = model.on_grid(arms), arms.copy()
    other.loc[mine, "gain"] += 2
    (one, chose), (two, chose_now) = (model.chosen_blind(each, grid) for each in (arms, other))
    np.testing.assert_array_equal(one[mine], two[mine])
    assert chose["set1"] == chose_now["set1"] and set(chose) == {"set0", "set1", "set2"}


def test_a_gain_that_follows_the_formula_is_found():
    arms = made_arms(fresh())
    grid = model.on_grid(arms)
    arms["gain"] = grid[model.GRID.index((2.0, 0.5))]
    assert model.GRID[model.best_numbers(arms, grid)] == (2.0, 0.5)
    assert model.error(arms["gain"], model.left_out(arms, model.OURS, grid))["R2"] == pytest.approx(1)
    assert set(model.by_family(arms, model.left_out(arms, model.OURS, grid))["typical miss"]) == {0.0}
    assert model.missed_most(arms, np.zeros(len(arms)), 3)["missed"].abs().tolist() == sorted(arms["gain"].abs())[:-4:-1]


def test_noise_that_random_shares_with_the_gain_is_nothing_to_foretell():
    """Equal tables but for chance, and a gain that is the noise of the random arm: with seeds of their own nothing is left."""
    rng, rows_ = fresh(), []
    for f in range(4):
        for i in range(30):
            whole = np.array([[60.0, 40.0], [40.0, 60.0]])
            kept = whole * rng.uniform(0.3, 0.9, (2, 2))
            arm = {
                "arm": f"{f} {i}",
                "family": f"set{f}",
                "task": f"set{f}",
                "size": None,
                "noise": 0.0,
                "encoder": "tiny",
                "layers": None,
                "epochs": 1,
                "budget": "epochs",
                "rule": "hardest",
                "kept share": 0.5,
                "skipped": 0.0,
                "of each class": False,
                "score": "el2n",
                "at": "1ep",
                "scored by": "4 runs",
                "classes": 2,
                "examples": 100,
                "label names": None,
                "full": 0.8,
                "skew": 0.1,
                "wrong": 0.4,
                "all wrong": 0.4,
                "blind": False,
                "kept table": kept,
                "whole table": whole,
            }
            rows_ += [arm | {"seed": seed, "accuracy": 0.6, "random": 0.6 + rng.normal(0, 0.1)} for seed in range(4)]
    found = model.on_other_seeds(pd.DataFrame(rows_))
    assert found["R2"] < 0.15 and abs(found["rank"]) < 0.35


def test_left_out_refuses():
    arms = made_arms(fresh())
    with pytest.raises(InputError, match="choose one of"):
        model.left_out(arms, "oracle")
    with pytest.raises(InputError, match="at least two"):
        model.left_out(arms[arms["family"] == "set0"], model.OURS)


def test_families_keep_together_what_is_made_of_the_same_examples():
    assert {family(task) for task in ("sst2", "hub:sst2", "sst2_sentences")} == {"sst2"}
    assert {family(task) for task in ("cifar10", "cifar10n:worst_label")} == {"cifar10"}
    assert family("hub:mnli") == family("mnli_subset") != family("snli_subset")


def test_tables_and_figures_draw():
    arms = made_arms(fresh())
    arms.loc[0, ["wrong", "gain", "low", "high", "most"]] = 0.9, -0.5, -0.6, -0.4, 0.1
    assert counted(arms)["arms"].sum() == len(arms)
    assert beside(arms, arms.iloc[0], rule="easiest") is None and beside(arms, arms.iloc[3])["family"] == arms.iloc[3]["family"]
    assert below_chance(arms)["kept misclassified"].max() == 0.9
    assert list(by_scoring_point(arms, "set0", arms["kept share"][0])["scored at"]) == ["1ep"]
    assert list(groups(arms.iloc[0])["scoring runs say"]) == ["0", "1", "2"]
    assert len(listed(arms)) == len(arms)
    figure = chapter.figures.map_of_arms(arms)
    assert "points" in repr(figure)
    assert any(text.get_text().startswith("set0") for text in figure.axes[0].texts)
    chapter.figures.seen_and_foretold(arms, np.zeros(len(arms)))._repr_html_()
    shown = pages.folded(pages.frame(listed(arms), "All arms"), "All arms by name")
    assert "<summary>All arms by name</summary>" in shown.html and f"of {len(arms)} rows" in shown.html


def test_arms_in_which_nothing_is_said_are_known():
    table = pd.DataFrame({"accuracy": [0.4, 0.4], "random": [0.4, 0.4], "blind": [False, False]})
    says_nothing = chapter.runs._says_nothing
    assert says_nothing(table) and not says_nothing(table.assign(random=[0.4, 0.5]))
    assert says_nothing(table.assign(random=[0.4, 0.5], blind=True))
