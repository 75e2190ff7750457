"""Quantities that prose states in words: each sentence stands on its page, and the published runs bear it."""

import functools
import importlib

import pytest
from conftest import ROOT

from datadiet import data, runs
from datadiet.chapters.settings import settings_of


@functools.cache
def published(chapter: str, profile: str = "standard"):
    """Module of a chapter's runs, the settings of a profile, the table of its published runs."""
    module = importlib.import_module(f"datadiet.chapters.{chapter.replace('-', '_')}.runs")
    settings = settings_of(profile, chapter)
    return module, settings, runs.published(module.wanted(settings))


def sets_whose_losses_mistakes_do_not_explain():
    found = {}
    for profile in ("standard", "gpu", "news"):
        module, settings, table = published("pruning-fractions", profile)
        rows = module.misclassified(settings, table)
        rows = rows[rows["rule"] == "hardest"].groupby(["task", "fraction"]).mean(numeric_only=True)
        rows = rows[(rows["random"] - rows["accuracy"] > 0.1) & (rows["wrong"] < 0.5)]
        found |= rows["wrong"].groupby("task").max().to_dict()
    return sorted(found) == ["ag_news_subset", "mnli_subset", "sst2_sentences", "trec6"] and max(
        found["trec6"], found["ag_news_subset"]) <= 1 / 3


def random_is_above_the_hardest():
    module, settings, table = published("loss-landscape")
    rows = module.velocities(settings, table).query("task == 'digits'")
    means = rows.pivot_table(index="epoch", columns="group", values="velocity")
    return [means.index[means[group] > means["hardest"]].tolist() for group in ("random", "middle")] == [[1, 2, 8], [1]]


def a_sixth_is_saved():
    saved = 1 - published("dynamic-pruning")[0].planned_cost(10, fraction=0.5, warmup=1, every=1)
    return min((1 / 2, 1 / 3, 1 / 6), key=lambda share: abs(saved - share)) == 1 / 6


def soft_pruning_saves_a_fifth():
    module, settings, table = published("dynamic-pruning")
    bill = module.bill(settings, table).query("arm == 'soft'")
    return len(bill) == 5 and bill["cost"].between(0.75, 0.85).all()


def the_order_turns_at_one_norm():
    module, settings, table = published("grand-at-init")
    found = module.correlations(settings, table).query("encoder == 'convnet' and inputs == 'per image'")
    digits, images = (found.loc[found["task"] == task, "pixels_mean"].mean() for task in ("digits", "cifar10"))
    return digits < images < -0.3


def the_runs_do_not_agree_within_a_class():
    from scipy.stats import spearmanr

    from datadiet.chapters.arms import arrays_by_seed, mean_of_others, scores_by_seed, scoring

    found = []
    for profile in ("standard", "gpu", "news"):
        module, settings, table = published("score-timing", profile)
        for task in settings["tasks"]:
            own = scoring(module.of_task(settings, task), task)
            labels = next(iter(arrays_by_seed(table, own).values()))["labels"]
            scores = scores_by_seed(table, own, "el2n", 0)
            found += [spearmanr(scores[seed][labels == each], mean_of_others(scores, seed)[labels == each])[0]
                      for seed in scores for each in set(labels)]
    return abs(sum(found) / len(found)) < 0.05


def fine_tuning_pays_on_trec6():
    from datadiet.chapters.what_all_runs_say import flips

    found = {peer: flips.compared(flips.measured(), peer) for peer in ("datadiet 30s", "datadiet 5min")}
    ahead = {peer: flips.best(rows).query("peer == 'fine-tuned'").set_index("set") for peer, rows in found.items()}
    longer = ahead["datadiet 5min"]
    behind, before, equal = ahead["datadiet 30s"].loc["trec6"], longer.loc["trec6"], longer.loc["utterances"]
    enough = min(each["draws"] for each in (behind, before, equal)) >= 5
    return enough and behind["high"] < 0 < before["low"] and equal["low"] < 0 < equal["high"]


@pytest.mark.parametrize("page, words, borne", [
    ("which-score", "ahead of this cross-validation on TREC-6; on the utterances no difference", fine_tuning_pays_on_trec6),
    ("pruning-fractions", "On TREC-6 and AG News at most a third", sets_whose_losses_mistakes_do_not_explain),
    ("loss-landscape", "the random block change faster, and in the second and the last epoch", random_is_above_the_hardest),
    ("dynamic-pruning", "**Answer.** About a sixth", a_sixth_is_saved),
    ("dynamic-pruning", "saves about a fifth of its cost", soft_pruning_saves_a_fifth),
    ("grand-at-init", "of the pixels, on the digits more than on CIFAR-10", the_order_turns_at_one_norm),
    ("score-timing", "At step 0 the runs do not agree within a class", the_runs_do_not_agree_within_a_class),
    ("healthy-diet", "here fewer than half have none", lambda: 0.4 < unswapped() < 0.5),
])  # fmt: skip
def test_what_a_page_says_in_words_is_what_the_published_runs_gave(page, words, borne):
    assert words in " ".join((ROOT / "chapters" / f"{page}.md").read_text().split())
    assert borne()


def unswapped() -> float:
    """Share of the written sentences without a word to swap."""
    train = data.load("feedback").train
    return sum(a == b for a, b in zip(train.inputs["text"], train.inputs["swapped"], strict=True)) / len(train)
