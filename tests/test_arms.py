"""Arms that some profiles ask for: more shares at equal steps, skipped tops, more scoring runs, subsets that are not refilled."""

import numpy as np
import pytest
from small import settings, words  # noqa: F401

from datadiet import runs
from datadiet.chapters import grand_at_init, pruning_fractions, who_is_right
from datadiet.chapters.arms import pruned
from datadiet.errors import InputError
from datadiet.prune import keep

IMAGES = {"tasks": ["digits"], "seeds": 3, "per_task": {}, "fractions": [0.5], "fraction": 0.5}


def images(**changes):
    return settings("grand-at-init", **IMAGES | changes)


def keys(configs):
    return {runs.key(run) for run in configs}


def test_more_shares_at_equal_steps_add_every_score_but_the_other_networks():
    plain, more = grand_at_init.runs, images(equal_steps=[0.3])
    added = keys(plain.wanted(more)) - keys(plain.wanted(images(equal_steps=[])))
    names = [name for name in plain.SCORES if name != plain.TRANSFER]
    assert added == keys(run for name in names for run in plain.arm(more, "digits", name, 0.3, "steps"))


def test_skipping_takes_the_next_hardest_at_equal_steps():
    own = images(skips=[0.05])
    arm = grand_at_init.runs.skipping(own, "digits", 0.05)
    assert keys(arm) <= keys(grand_at_init.runs.wanted(own)) - keys(grand_at_init.runs.wanted(images(skips=[])))
    plain = grand_at_init.runs.arm(own, "digits", "EL2N", budget="steps")
    assert [run | {"keep": run["keep"] | {"offset": 0.0}} for run in arm] == plain
    assert {run["keep"]["offset"] for run in arm} == {0.05}


@pytest.mark.parametrize("scorers, averaged", [(0, 2), (2, 2), (5, 4)])
def test_more_scoring_runs_are_averaged_where_asked_for(scorers, averaged):
    own = images(scorers=scorers)
    arm = grand_at_init.runs.arm(own, "digits", "EL2N")
    assert [run["seed"] for run in arm] == [0, 1, 2]
    assert {len(run["keep"]["seeds"]) for run in arm} == {averaged}
    assert all(run["seed"] not in run["keep"]["seeds"] for run in arm)
    assert len(grand_at_init.runs.trained(own, "digits")) == max(3, scorers)


def test_a_subset_that_is_not_refilled_is_the_plain_one_without_its_top():
    own = settings("pruning-fractions", fraction=0.3, offsets=[0.05, 0.1, 0.3])
    assert pruning_fractions.runs.unfilled(own) == [0.05, 0.1]  # of the last nothing would be left
    values = np.random.default_rng(0).permutation(200).astype(float)
    for offset in (0.05, 0.1):
        arm = pruning_fractions.runs.shrunk(own, "words", offset)
        (chosen,) = {(run["keep"]["fraction"], run["keep"]["offset"]) for run in arm}
        kept = keep(values, chosen[0], "hardest", offset=chosen[1])
        top = keep(values, offset, "hardest")
        assert set(kept) | set(top) == set(keep(values, 0.3, "hardest")) and not set(kept) & set(top)
    refilled = keys(pruned(own, "words", "hardest", 0.3, offset=0.05))
    assert refilled <= keys(pruning_fractions.runs.wanted(own))
    assert not refilled & keys(pruning_fractions.runs.shrunk(own, "words", 0.05))


def test_of_an_untrained_network_only_what_is_read_is_published():
    arrays = {"ids": 1, "labels": 2, "logits": 3, "feature_norms": 4, "grand": 5, "input_norm": 6}
    assert set(runs.store.read(arrays, {"epochs": 0})) == {"ids", "labels", "grand", "input_norm"}
    assert runs.store.read(arrays, {"epochs": 1}) == arrays


def test_fresh_draws_are_a_seed_s_own_and_scored_by_the_other_seeds_on_the_same_examples():
    own = settings("who-is-right", seeds=3, size=30, fresh=True, score_at=["1ep"])
    wanted = who_is_right.runs.wanted(own)
    assert {run["draw"] for run in wanted} == {0, 1, 2}
    for run in wanted:
        assert run["keep"] is None or run["draw"] == run["seed"]
        assert all(source["draw"] == run["draw"] and source["seed"] != run["seed"] for source in runs.scoring_runs(run))
    assert keys(source for run in wanted for source in runs.scoring_runs(run)) <= keys(wanted)  # so that they are published too
    shared = who_is_right.runs.wanted(own | {"fresh": False})
    assert {run["draw"] for run in shared} == {0} and len(keys(shared)) < len(keys(wanted))


def test_a_draw_says_which_examples_are_used(words):  # noqa: F811
    one, other = (runs.task_of(runs.config(task="words", size=30, encoder="tiny", draw=draw)) for draw in (0, 1))
    assert len(one.train) == len(other.train) == 30 and set(one.train.ids) != set(other.train.ids)
    assert one.test.ids.tolist() == other.test.ids.tolist()


@pytest.mark.parametrize("changes, said", [
    ({"draw": 1}, "a draw is of a size"),
    ({"draw": 1, "size": 30, "keep": {"rule": "hardest", "score": "el2n", "at": "1ep", "seeds": [1],
                                      "source": {"score_at": ["1ep"], "size": 30}}}, "a source on draw 0"),
])
def test_draws_that_do_not_go_together(changes, said):
    with pytest.raises(InputError, match=said):
        runs.config(**changes)
