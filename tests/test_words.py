"""Quantities that prose states in words: each sentence stands on its page, and the published runs bear it."""

import ast
import functools
import importlib

import pandas as pd
import pytest
from conftest import ROOT

from datadiet import data, runs
from datadiet.chapters import ledger
from datadiet.chapters.arms import by_seed, pruned, scoring
from datadiet.chapters.parts import difference, interval
from datadiet.chapters.settings import of_task, settings_of
from datadiet.runs import facts


@functools.cache
def published(chapter: str, profile: str = "standard"):
    """Module of a chapter's runs, the settings of a profile, the table of its published runs."""
    module = importlib.import_module(f"datadiet.chapters.{chapter.replace('-', '_')}.runs")
    settings = settings_of(profile, chapter)
    return module, settings, runs.published(module.wanted(settings))


def seen(claim: str, words: str):
    """The one part of a claim whose name has these words, from the published runs."""
    parts = ledger.decide_over(claim, ledger.evidence(ledger.chapter_of(claim))).parts
    (found,) = (part for part in parts if words in part.name and part.n)
    return found


def against(table, one, other):
    """Mean and 95 % interval of the difference of two arms with at least five paired seeds."""
    found = difference(by_seed(table, one), by_seed(table, other))
    assert len(found) >= 5
    return interval(found)


def of_set(chapter: str, task: str, profile: str = "standard"):
    """Settings and table as :func:`published` has them, of one set; and its arms as a function of rule, share and more."""
    _, settings, table = published(chapter, profile)
    own = of_task(settings, task)
    return own, table, functools.partial(pruned, own, task)


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

    from datadiet.chapters.arms import arrays_by_seed, mean_of_others, scores_by_seed

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


def five_minutes_are_ahead():
    """Of 30 s and of the fine-tuned cross-validation, set by set, five draws or more."""
    from datadiet.chapters.what_all_runs_say import flips

    table, pairs = flips.measured(), {"snli_subset", "rte"}
    sets = set(table["set"])
    budgets = [peer.removeprefix("datadiet ") for peer in flips.ours(table)]
    found = {budget: flips.best(flips.compared(table, f"datadiet {budget}")) for budget in budgets}
    won = {budget: {peer: set(rows.query("low > 0")["set"]) for peer, rows in each.groupby("peer")}
           for budget, each in found.items()}  # fmt: skip
    assert len(sets) == 6 and won["30s"]["frozen features"] == won["5min"]["frozen features"] == sets
    assert all("trec6" in won[budget]["frozen features"] for budget in budgets)
    for short, peer in (("30s", "fine-tuned"), ("5min", "fine-tuned"), ("5min", "datadiet 30s")):
        rows = found[short][found[short]["peer"] == peer]
        assert len(rows) == 6 and min(rows["draws"]) >= 5 and (rows["high"] > 0).all()
    members = {budget: table[table["peer"] == f"datadiet {budget}"].set_index("set")["members"].str for budget in budgets}
    fitted = {budget: each.contains("fine-tuned").groupby("set").mean().to_dict() for budget, each in members.items()}
    assert fitted["30s"] == dict.fromkeys(sets, 1) | dict.fromkeys(pairs, 0) | {"sst2_sentences": 0.6}
    assert fitted["5min"] == dict.fromkeys(sets, 1)
    weights = pd.DataFrame(map(ast.literal_eval, table.query("peer == 'datadiet 30s' and set == 'trec6'")["members"]))
    assert len(weights) == 5 and (weights.idxmax(axis=1) == "fine-tuned 1").all()
    assert (weights.drop(columns="fine-tuned 1").idxmax(axis=1) == "first word").all()
    machines = table.groupby(table["peer"].where(~table["peer"].str.startswith("datadiet"), "ours"))["hardware"].unique()
    assert len(set(machines.str[0])) == 3 and list(map(len, machines)) == [1, 1, 1], "the page says: three processors"
    both = table.query("set == 'utterances' and peer in ('fine-tuned', 'datadiet 5min')").groupby("peer")["auc"].max()
    assert (both > 0.99).all() and len(both) == 2
    assert won["30s"]["fine-tuned"] == {"trec6"} | pairs and won["5min"]["fine-tuned"] == sets - {"utterances"}
    assert found["5min"].query("set == 'rte' and peer == 'datadiet 30s'")["ahead"].item() < 0.01
    return won["5min"]["datadiet 30s"] == {"sst2_sentences", "docstrings", "rte"}


def five_seeds_do_not_decide_the_first_phase():
    epochs, updates = (seen("NDD-4", f"trec6: dynamic EL2N, 20% kept: 1 full epoch(s) first - none, same {same}")
                       for same in ("epochs", "updates"))
    return epochs.low > 0 and updates.low < 0 < updates.high and updates.effect > 0.1


def a_random_half_is_as_accurate_to_two_points():
    module, settings, table = published("dynamic-pruning")
    arms = {task: module.arms(settings, task) for task in ("trec6", "sst2_sentences", "ag_news_subset")}
    found = [against(table, each["dynamic", 0.5], each["random dynamic", 0.5]) for each in arms.values()]
    return all(-0.02 < low < 0 < high < 0.02 for _, low, high in found)


def the_joint_form_beats_random_on_one_set_alone():
    alone, together = (published(chapter)[0] for chapter in ("dynamic-pruning", "joint"))
    _, settings, table = published("dynamic-pruning")
    found = [against(table, alone.arms(settings, task)["dynamic", share], alone.arms(settings, task)["random dynamic", share])[1]
             for task in settings["tasks"] for share in settings["fractions"]]
    _, settings, table = published("joint")
    ahead = {(task, share): [together.result(settings, table, task, name, share) for name in ("dynamic", "random dynamic")]
             for task in settings["tasks"] for share in settings["fractions"]}
    sure = {task for (task, _), both in ahead.items() if interval(difference(*both))[1] > 0}
    return max(found) < 0 and sure == {"facebook_tod_en"}


def entropy_finds_some_flips():
    module, settings, table = published("label-noise")
    arms = [module.full(settings, task, module.NOISY) for task in settings["tasks"]]
    rows = [module.detection(table, arm, ["entropy"], ["3ep"]) for arm in arms]
    return all(interval(each["auroc"])[1] > 0.5 for each in rows)


def drawn_flips_are_easier_to_find():
    module, settings, table = published("label-noise")
    found = []
    for task in settings["people"]:
        arms = [module.people_arms(settings, task, kind)["full"] for kind in module.KINDS]
        rows = [module.detection(table, arm, ["el2n", "aum"], settings["people_at"]) for arm in arms]
        people, drawn = (each.pivot_table(index="seed", columns=["score", "at"], values="auroc") for each in rows)
        found += [interval(people[each] - drawn[each])[2] for each in people.columns]
    return len(found) == 12 and max(found) < 0


def every_score_loses_to_random():
    module, settings, table = published("influence-scores")
    (task,) = settings["tasks"]
    arms = {share: [name for name in module.SCORES if by_seed(table, module.arm(settings, task, name, share)).size]
            for share in settings["fractions"]}
    found = [against(table, *(module.arm(settings, task, each, share) for each in (name, module.RANDOM)))[2]
             for share, names in arms.items() for name in names]
    return len(found) >= 18 and max(found) < 0


def no_cell_is_surely_ahead():
    _, settings, table = published("who-is-right")
    outcomes = importlib.import_module("datadiet.chapters.who_is_right.rules").cells(settings, table)["outcome"]
    return len(outcomes) == 72 and "better" not in set(outcomes) and "worse" in set(outcomes)


def step_30_is_the_best_of_three_on_ag_news():
    _, table, arm = of_set("score-timing", "ag_news_subset", "news")
    start, thirty, late = (arm("hardest", 0.5, at=at) for at in (0, 30, "1ep"))
    undecided = against(table, late, start)
    return min(against(table, thirty, each)[1] for each in (start, late)) > 0 and undecided[1] < 0 < undecided[2]


def the_latest_scores_train_the_worst_models_on_mnli():
    own, table, arm = of_set("score-timing", "mnli_subset", "gpu")
    assert own["score_at"] == [0, 30, 100, "1ep", "3ep"]
    halves = {at: arm("hardest", 0.5, at=at) for at in own["score_at"]}
    return all(against(table, halves[late], halves[at])[2] < 0 for late in ("1ep", "3ep") for at in (0, 30, 100))


def validity_rises_later_on_mnli():
    found = {}
    for profile, task in (("gpu", "mnli_subset"), ("gpu", "ag_news_subset"), ("news", "ag_news_subset")):
        module, settings, table = published("score-timing", profile)
        rows = module.agreement(settings, table).astype({"at": str})
        means = rows[rows["task"] == task].groupby("at")["validity"].mean()
        found[profile, task] = means["1ep"] - means["100"] > means["100"] - means["30"]
    return list(found.values()) == [True, False, False]


def one_epoch_loses_at_seven_tenths_of_trec6():
    late, step = (seen("BDD-2", f"trec6: hardest by EL2N at {words}") for words in ("one epoch - random", "step 30"))
    return late.high < 0 < step.low


def the_easiest_stay_close_on_mnli_alone():
    found = {}
    for profile, task in (("standard", "trec6"), ("standard", "sst2_sentences"), ("gpu", "mnli_subset")):
        own, table, arm = of_set("pruning-fractions", task, profile)
        pairs = {share: (arm("easiest", share), arm("random", share)) for share in own["fractions"]}
        found[task] = {share: against(table, *each) for share, each in pairs.items() if len(by_seed(table, each[0]))}
    lose = {task: [share for share, (_, _, high) in rows.items() if high < 0] for task, rows in found.items()}
    return (lose["trec6"] == list(found["trec6"]) and lose["sst2_sentences"] == [0.5]
            and all(-0.01 < low for _, low, _ in found["mnli_subset"].values()))


def skipping_a_tenth_comes_back_to_random():
    own, table, arm = of_set("pruning-fractions", "sst2_sentences")
    hardest, random, tenth = arm("hardest", 0.5), arm("random", 0.5), arm("hardest", 0.5, offset=0.1)
    loss, most = against(table, random, hardest)[0], against(table, arm("hardest", 0.5, offset=0.05), hardest)[0]
    both = [against(table, tenth, other) for other in (random, scoring(own, "sst2_sentences"))]
    return loss / 2 < most < loss and all(low < 0 < high for _, low, high in both)


def balance_gains_half_as_much_at_the_smallest_share():
    _, table, arm = of_set("pruning-fractions", "trec6")
    gains = {share: against(table, arm("hardest", share, balanced=True), arm("hardest", share))[0] for share in (0.02, 0.2, 0.5)}
    best = max(by_seed(table, arm("hardest", 0.02, balanced=each)).mean() for each in (True, False))
    return all(0.4 < gains[0.02] / gains[share] < 0.6 for share in (0.2, 0.5)) and best < facts.test_shares("trec6").max()


def random_is_not_told_from_the_others():
    module, settings, table = published("grand-at-init")
    names = [name for name in module.SCORES if name not in ("random", module.LOADED, module.TRANSFER)]
    random = module.arm(settings, "digits", "random", 0.2)
    found = [against(table, module.arm(settings, "digits", name, 0.2), random) for name in names]
    return len(found) == 5 and all(mean < 0 < high for mean, _, high in found)


def half_of_the_digits_is_enough_and_no_better_than_random():
    full, random = (seen("P21-2", f"digits: EL2N - {other}, 50% kept") for other in ("full data", "random"))
    return full.outcome == "holds" and random.outcome == "undecided"


def not_shown_to_be_better():
    full, random = (seen("BDD-4n", f"trec6, 10% flipped: without the hardest 10% - {other}")
                    for other in ("full data", "without a random 10%"))
    return full.high < 0 and random.low < 0 < random.high


def arms_with_few_updates_lose_more_than_foretold():
    from datadiet.chapters import what_all_runs_say as chapter

    arms = chapter.runs.arms(chapter.runs.by_run())
    arms = arms[~arms["blind"]].reset_index(drop=True)
    more = arms["gain"] < chapter.model.left_out(arms, chapter.model.OURS, chapter.model.on_grid(arms))
    few = {"trec6": (5452, 0.1), "digits": (1197, 0.1), "snips": (1000, 0.2)}
    shares = {name: more[(arms["family"] == name) & (arms["examples"] == size) & (abs(arms["kept share"] - share) < 0.01)].mean()
              for name, (size, share) in few.items()}
    return 0.5 < shares["trec6"] < 1 and shares["digits"] == shares["snips"] == 1


@pytest.mark.parametrize("page, words, borne", [
    ("which-score", "ahead of that cross-validation on all sets but the utterances", five_minutes_are_ahead),
    ("pruning-fractions", "On TREC-6 and AG News at most a third", sets_whose_losses_mistakes_do_not_explain),
    ("loss-landscape", "the random block change faster, and in the second and the last epoch", random_is_above_the_hardest),
    ("dynamic-pruning", "**Answer.** About a sixth", a_sixth_is_saved),
    ("dynamic-pruning", "saves about a fifth of its cost", soft_pruning_saves_a_fifth),
    ("grand-at-init", "of the pixels, on the digits more than on CIFAR-10", the_order_turns_at_one_norm),
    ("score-timing", "At step 0 the runs do not agree within a class", the_runs_do_not_agree_within_a_class),
    ("dynamic-pruning", "**Answer.** Five seeds do not decide it.", five_seeds_do_not_decide_the_first_phase),
    ("dynamic-pruning", "as accurate as the hardest half to within two points", a_random_half_is_as_accurate_to_two_points),
    ("dynamic-pruning", "Facebook's utterances, its joint form does", the_joint_form_beats_random_on_one_set_alone),
    ("more-scores", "the second finds wrong labels only where the model is unsure anyway", entropy_finds_some_flips),
    ("label-noise", "Drawn flips are easier to find, at every scoring point", drawn_flips_are_easier_to_find),
    ("influence-scores", "Every score loses to random examples of the same number", every_score_loses_to_random),
    ("who-is-right", "In the published runs no rule surely beats random in any cell", no_cell_is_surely_ahead),
    ("score-timing", "a worse one than that of step 0, five seeds do not show", step_30_is_the_best_of_three_on_ag_news),
    ("score-timing", "of one and of three epochs train the worst models", the_latest_scores_train_the_worst_models_on_mnli),
    ("score-timing", "on MNLI, and before the hundredth update on AG News", validity_rises_later_on_mnli),
    ("score-timing", "and do worse than the hardest by those of step 30", one_epoch_loses_at_seven_tenths_of_trec6),
    ("pruning-fractions", "stay within a point of random at every share", the_easiest_stay_close_on_mnli_alone),
    ("pruning-fractions", "five seeds do not tell it from that of the full data", skipping_a_tenth_comes_back_to_random),
    ("pruning-fractions", "there the gain is about half as large", balance_gains_half_as_much_at_the_smallest_share),
    ("grand-at-init", "on the digits five seeds do not tell it from the others", random_is_not_told_from_the_others),
    ("grand-at-init", "So P21-2 agrees there in its first part alone", half_of_the_digits_is_enough_and_no_better_than_random),
    ("label-noise", "do not show that it is better than one without a random tenth", not_shown_to_be_better),
    ("what-all-runs-say", "Most arms of a tenth of the whole of TREC-6, and all", arms_with_few_updates_lose_more_than_foretold),
    ("healthy-diet", "here fewer than half have none", lambda: 0.4 < unswapped() < 0.5),
])  # fmt: skip
def test_what_a_page_says_in_words_is_what_the_published_runs_gave(page, words, borne):
    assert words in " ".join((ROOT / "chapters" / f"{page}.md").read_text().split())
    assert borne()


def unswapped() -> float:
    """Share of the written sentences without a word to swap."""
    train = data.load("feedback").train
    return sum(a == b for a, b in zip(train.inputs["text"], train.inputs["swapped"], strict=True)) / len(train)
