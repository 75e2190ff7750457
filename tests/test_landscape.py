"""Kernels, lines and futures: exact where they are fast, known where theory knows them, the same run from the same config."""

import copy
import inspect
from dataclasses import replace

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from small import around, rows
from torch import nn

from datadiet import chapters, runs
from datadiet.chapters import images, ledger
from datadiet.chapters import loss_landscape as chapter
from datadiet.chapters.parts import interval
from datadiet.chapters.settings import has, profiles, settings_of
from datadiet.chapters.views import View
from datadiet.data import load, shrink
from datadiet.errors import InputError
from datadiet.gradnorm import tangent
from datadiet.nets.images import picture_classifier
from datadiet.runs import bill
from datadiet.training import branch, landscape
from datadiet.training.loop import Loop, fit

SOURCE = {"task": "digits", "score_at": ["1ep"]}
BRANCH = {"spawn": [0, 2, "1ep"], "alphas": 3, "share": 0.2, "block": 4, "at": "1ep", "seeds": [1], "source": SOURCE}

WHOLE = [profile for profile in profiles() if has(profile, "loss-landscape")]


@pytest.fixture(scope="module")
def digits():
    return shrink(load("digits"), 60)


def config(branches=BRANCH, **changes):
    return runs.config(**{"task": "digits", "size": 60, "encoder": "convnet", "epochs": 2, "inputs": "standardised",
                          "learning_rate": 0.05, "optimizer": "sgd", "batch_size": 16, "branch": branches} | changes)


def values(n=60):
    return np.random.default_rng(0).random(n)


# The kernel --------------------------------------------------------------------------------------------------------------
def perturbed(encoder, seed):
    """A net whose every parameter and running statistic is drawn, so that no symmetry of an initialisation hides a mistake."""
    net, draw = picture_classifier(encoder, 3, 2, seed), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=draw))
        for name, buffer in net.named_buffers():
            if name.endswith(("mean", "var")):
                buffer.copy_(torch.rand(buffer.shape, generator=draw) + 0.5)
    return net.double(), torch.randn(5, 2, 8, 8, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("encoder", ["convnet", "resnet-small"])
@pytest.mark.parametrize("chunk", [2, 16])
def test_the_kernel_is_that_of_the_slow_truth(encoder, chunk, monkeypatch):
    monkeypatch.setattr(tangent, "CHUNK", chunk)
    net, images = perturbed(encoder, 3)
    before = {name: t.clone() for name, t in net.state_dict().items()}
    fast, slow = tangent.tangent_kernel(net, images), tangent.reference_tangent_kernel(net, images)
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9)
    assert fast.shape == (15, 15) and torch.allclose(fast, fast.T) and torch.linalg.eigvalsh(fast).min() > -1e-6
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())


def test_only_trainable_parameters_count():
    net, images = perturbed("convnet", 1)
    for name, p in net.named_parameters():
        p.requires_grad_(name.startswith("classifier"))
    features = torch.cat([net.body(images), torch.ones(5, 1, dtype=torch.float64)], 1).detach()
    expected = torch.kron(features @ features.T, torch.eye(3, dtype=torch.float64))  # a linear head: one block for each logit
    torch.testing.assert_close(tangent.tangent_kernel(net, images), expected)
    torch.testing.assert_close(tangent.reference_tangent_kernel(net, images), expected)


def test_the_kernel_predicts_a_small_step():
    """What it is for: a step down the gradient of one logit of one image moves all logits by its column."""
    net, images = perturbed("convnet", 2)
    kernel, before = tangent.tangent_kernel(net, images), net(images).detach()
    slopes = torch.autograd.grad(net(images)[1, 2], list(net.parameters()))
    with torch.no_grad():
        for p, slope in zip(net.parameters(), slopes, strict=True):
            p.add_(slope, alpha=1e-7)
    moved = (net(images) - before).detach().flatten() / 1e-7
    torch.testing.assert_close(moved, kernel[:, 1 * 3 + 2], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("make, said", [
    (lambda net, x: (net, x[:0]), "no image"),
    (lambda net, x: (net.train(), x), "train mode"),
    (lambda net, x: (net.requires_grad_(False), x), "no trainable parameter"),
])
def test_kernels_that_cannot_be(make, said):
    for kernel in (tangent.tangent_kernel, tangent.reference_tangent_kernel):
        with pytest.raises(InputError, match=said):
            kernel(*make(*perturbed("convnet", 0)))


# Measures ----------------------------------------------------------------------------------------------------------------
def test_a_linear_model_has_velocity_0_and_a_network_has_not():
    linear, images = nn.Sequential(nn.Flatten(), nn.Linear(128, 3)).double().eval(), perturbed("convnet", 0)[1]
    for net, still in ((linear, True), (perturbed("convnet", 0)[0], False)):
        before = tangent.tangent_kernel(net, images)
        with torch.no_grad():
            for p in net.parameters():
                p.mul_(-0.5)
                p.flatten()[0] += 3
        velocity = landscape.velocity(before, tangent.tangent_kernel(net, images))
        assert velocity < 1e-20 if still else 1e-3 < velocity <= 1


def test_velocity_is_the_cosine_distance():
    rng = np.random.default_rng(0)
    k, m = (a @ a.T for a in (rng.normal(size=(6, 9)), rng.normal(size=(6, 9))))
    expected = 1 - (k * m).sum() / np.sqrt((k**2).sum() * (m**2).sum())
    assert landscape.velocity(k, m) == pytest.approx(expected) == landscape.velocity(m, 7 * k)
    assert landscape.velocity(k, 3 * k) < 1e-15
    tiny = rng.normal(size=k.shape) * 1e-9  # a turn far below what 1 - cosine can tell in double precision
    assert 1e-21 < landscape.velocity(k, k + tiny) < 1e-16


@pytest.mark.parametrize("one, other, said", [
    (np.eye(2), np.eye(3), "of one size"), (np.ones((2, 3)), np.ones((2, 3)), "square"),
    (np.eye(2), np.zeros((2, 2)), "norm above 0"),
    (np.eye(2), np.full((2, 2), np.nan), "finite"),
])
def test_bad_kernels(one, other, said):
    with pytest.raises(InputError, match=said):
        landscape.velocity(one, other)


@pytest.mark.parametrize("errors, height", [
    ([0.2, 0.2, 0.2], 0), ([0.0, 0.1, 0.2, 0.3, 0.4], 0), ([0.4, 0.1, 0.0], 0), ([0.1, 0.5, 0.3], 0.3),
    ([0.0, 0.2, 0.6, 0.0, 0.0], 0.6),
])
def test_barriers(errors, height):
    assert landscape.barrier(errors) == pytest.approx(height, abs=1e-12)
    assert landscape.barrier(errors[::-1]) == pytest.approx(height, abs=1e-12)


@pytest.mark.parametrize("spawned, barriers, end, epochs", [
    ([0], [0.0], 4, 0), ([0], [0.02], 4, 0),  # never above the margin
    ([0], [0.04], 4, 2),  # down to the margin half-way to the end
    ([0, 1, 2], [0.5, 0.0, 0.04], 4, 3),  # the last moment counts, whatever lay between
    ([0, 2], [0.1, 0.01], 4, 2 * 0.08 / 0.09),
])
def test_epochs_behind_a_barrier(spawned, barriers, end, epochs):
    assert landscape.epochs_behind(spawned, barriers, end) == pytest.approx(epochs)


@pytest.mark.parametrize("call, said", [
    (lambda: landscape.barrier([0.1, 0.2]), "three places"),
    (lambda: landscape.barrier([0.1, np.nan, 0.2]), "all finite: False"),
    (lambda: landscape.epochs_behind([], [], 3), "one barrier each"),
    (lambda: landscape.epochs_behind([0, 1], [0.1], 3), "1 barrier"),
    (lambda: landscape.epochs_behind([1, 0], [0.1, 0.2], 3), "rising"),
    (lambda: landscape.epochs_behind([0, 3], [0.1, 0.2], 3), "before the end"),
    (lambda: landscape.groups(values(5), 6), "groups of 6 from 5"),
    (lambda: landscape.groups(values(5), 0), "groups of 0"),
    (lambda: tangent.between({"w": torch.ones(2)}, {"w": torch.ones(3)}, 0.5), "one architecture"),
])
def test_bad_measures(call, said):
    with pytest.raises(InputError, match=said):
        call()


def test_groups_are_those_of_the_ranking():
    found = landscape.groups(np.arange(20.0)[::-1], 4, seed=3)
    assert [found[name].tolist() for name in ("hardest", "easiest", "middle")] == [[0, 1, 2, 3], [16, 17, 18, 19], [8, 9, 10, 11]]
    assert len(found["random"]) == 4 and (found["random"] == landscape.groups(values(20), 4, seed=3)["random"]).all()


def test_statistics_are_measured_anew_and_the_rest_is_left_alone():
    net, images = perturbed("resnet-small", 4)
    modes, weights = [m.training for m in net.modules()], [p.clone() for p in net.parameters()]
    momenta = [m.momentum for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    tangent.measure_statistics(net, [images])
    first = next(m for m in net.modules() if isinstance(m, nn.BatchNorm2d))
    seen = net.body[0](images)
    torch.testing.assert_close(first.running_mean, seen.mean((0, 2, 3)))
    torch.testing.assert_close(first.running_var, seen.var((0, 2, 3)))
    assert [m.training for m in net.modules()] == modes and all(map(torch.equal, weights, net.parameters()))
    assert [m.momentum for m in net.modules() if isinstance(m, nn.BatchNorm2d)] == momenta
    tangent.measure_statistics(picture_classifier("convnet", 3), iter(lambda: pytest.fail("no BatchNorm, no pass"), None))


# The run -----------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def fitted(digits):
    return branch.fit(config(), digits, values())


def test_the_run_itself_is_the_plain_run(digits, fitted):
    plain = fit(config(branch=None), digits)
    assert fitted.metrics["test_accuracy"] == plain.metrics["test_accuracy"] and fitted.metrics["n_kept"] == 60
    ends = [errors[0] for errors in fitted.metrics["errors"]["all"]]
    recorded = fit(config(branch=None, score_at=["2ep"]), digits).arrays["logits"][0]
    assert ends == [(recorded.argmax(1) != digits.train.labels).mean()] * 3  # place 0 is the run at its end


def test_what_a_run_that_branches_records(fitted):
    metrics = fitted.metrics
    assert {name: np.shape(lines) for name, lines in metrics["errors"].items()} == dict.fromkeys(
        [*landscape.GROUPS, "all"], (3, 3))
    assert {name: len(turned) for name, turned in metrics["velocity"].items()} == dict.fromkeys(landscape.GROUPS, 2)
    assert min(min(turned) for turned in metrics["velocity"].values()) > 0
    assert metrics["spawn_epochs"] == [0, 0.5, 1] and metrics["ranked_epoch"] == 1
    assert metrics["updates"] == 8 + 8 + 6 + 4 and metrics["examples"] == 120 + 120 + 92 + 60
    assert bill._cost(config(), load("digits").train.take(np.arange(60)))["updates"] == metrics["updates"]


def test_the_same_config_gives_the_same_run_and_touches_no_global_generator(digits, fitted):
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    again = branch.fit(config(), digits, values()).metrics
    assert torch.equal(before[0], torch.random.get_rng_state()) and (before[1] == np.random.get_state()[1]).all()
    assert {k: v for k, v in again.items() if "seconds" not in k} == {
        k: v for k, v in fitted.metrics.items() if "seconds" not in k}
    other = branch.fit(config(seed=1), digits, values()).metrics
    assert other["velocity"] != again["velocity"]


@pytest.mark.parametrize(
    "changes", [{}, {"shifts": True}, {"encoder": "resnet-small"}, {"optimizer": "adamw", "learning_rate": 1e-3}]
)
def test_futures_that_share_their_shuffles_are_one(digits, changes):
    """Known answer: restored, and shuffled as the run was, a future is the run to the bit, and nothing lies between them."""
    loop = Loop(config(**changes), digits, 8)
    with torch.random.fork_rng():
        ends = []
        start = loop.state()
        kept = copy.deepcopy(start)
        for shuffles in (5, 5, 6):
            torch.manual_seed(shuffles)
            loop.restore(start)
            list(branch.onwards(loop, 16, np.random.default_rng(shuffles)))
            ends.append(loop.state())
    one, same, other = (end["model"] for end in ends)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)
    assert all(torch.equal(kept["model"][name], start["model"][name]) for name in one)  # going on twice needs the state as it was
    wrong = branch._wrong(loop, one, same, 5, 16)
    assert (wrong == wrong[0]).all() and landscape.barrier(wrong.mean(1)) == 0


def test_half_way_is_half_way(digits):
    """Slow truth of the line: the mean of two weights, asked one image at a time."""
    loop = Loop(config(), digits, 8)
    ends = [picture_classifier("convnet", 10, 1, seed).state_dict() for seed in (1, 2)]
    wrong, net = branch._wrong(loop, *ends, 3, 16), picture_classifier("convnet", 10, 1, 0)
    net.load_state_dict({name: (ends[0][name] + ends[1][name]) / 2 for name in ends[0]})
    examples = loop.problem.splits["train"]
    guesses = [int(net(examples.images[i : i + 1]).argmax()) for i in range(60)]
    assert wrong.shape == (3, 60) and (wrong[1] == (np.array(guesses) != digits.train.labels)).all()


@pytest.mark.parametrize("branches, said", [
    ({"spawns": [0]}, "unknown key.*spawns"), ({"source": None}, "source is missing"), ({"seeds": []}, r"seeds \[\]"),
    ({"at": None}, "at=None"), ({"spawn": []}, "spawn is empty"), ({"alphas": 4}, "odd number"), ({"alphas": 1}, "odd number"),
    ({"share": 0.0}, "share=0.0"), ({"block": 1}, "block=1"),
])
def test_bad_settings(branches, said):
    with pytest.raises(InputError, match=said):
        config(BRANCH | branches)


@pytest.mark.parametrize("changes, said", [
    ({"keep": {"rule": "random"}}, "go with no keep"), ({"schedule": {"rule": "random"}}, "go with no keep"),
    ({"pool": {"start": 20}}, "go with no keep"), ({"augment": {"factuals": 0.5}}, "go with no keep"),
])
def test_branches_are_of_a_run_on_everything(changes, said):
    with pytest.raises(InputError, match=said):
        config(**changes)


@pytest.mark.parametrize("branches, changes, said", [
    ({"spawn": ["1ep", 0]}, {}, "give them rising"), ({"spawn": [0, "2ep"]}, {}, "before the end"),
    ({"spawn": ["soon"]}, {}, "scoring point 'soon'"), ({"block": 61}, {}, "groups of 61"), ({"share": 0.001}, {}, "groups of 0"),
    ({}, {"score_at": [0]}, "score_at=\\[0\\]"), ({}, {"watch": True}, "watch=True"), ({}, {"budget": "steps"}, "budget='steps'"),
    ({}, {"epochs": 0}, "of 0"),
])
def test_bad_requests(digits, branches, changes, said):
    with pytest.raises(InputError, match=said):
        branch.fit(config(BRANCH | branches, **changes), digits, values())


def test_only_images_branch_and_every_one_needs_a_score(digits):
    with pytest.raises(InputError, match="9 scores for 60"):
        branch.fit(config(), digits, values(9))
    with pytest.raises(InputError, match="only nets for images"):
        branch.fit(config(), replace(digits, kind="text"), values())


def test_keys():
    """At its default the setting leaves no trace in a key; a run's key holds the scoring runs that it ranks by."""
    source = {name: value for name, value in config(branch=None, score_at=["1ep"]).items() if name != "seed"}
    assert runs.key(config(branch=None)) == runs.key({name: v for name, v in config(branch=None).items() if name != "branch"})
    run = config(BRANCH | {"source": source, "seeds": [1, 2]})
    assert runs.scoring_runs(run) == [source | {"seed": 1}, source | {"seed": 2}]
    assert runs.key(run) != runs.key(config(BRANCH | {"source": source | {"epochs": 9}, "seeds": [1, 2]}))
    bare = {name: v for name, v in source.items() if name not in runs.LATER or v != runs.LATER[name]}
    assert runs.key(run) == runs.key(config(BRANCH | {"source": bare, "seeds": [1, 2]}))


# The chapter

MARGINS = ledger.claims()["P21-10"]["margins"]
STANDARD = settings_of("standard", "loss-landscape", tasks=["digits"], spawn=[0, "1ep", "4ep"])


@pytest.mark.parametrize("profile", WHOLE)
def test_no_run_ranks_by_itself(profile):
    own = settings_of(profile, "loss-landscape")
    for task in own["tasks"]:
        scored = {runs.key(run) for run in images.scoring(own, task)}
        for run in chapter.runs.branched(own, task):
            seeds = [other for other in range(own["seeds"]) if other != run["seed"]]
            assert run["branch"]["seeds"] == seeds and {runs.key(source) for source in runs.scoring_runs(run)} < scored


@pytest.mark.parametrize("profile", sorted({*WHOLE} - {"paper"}))  # where the network that branches is the main one
def test_scoring_runs_are_those_of_grand_at_init(profile):
    """The same config is the same key: nothing is computed twice."""
    theirs, ours = ([run for run in chapters.wanted(name, settings_of(profile, name)) if run["branch"] is None]
                    for name in ("grand-at-init", "loss-landscape"))
    assert ours and {runs.key(run) for run in ours} <= {runs.key(run) for run in theirs}


@pytest.mark.parametrize("profile", WHOLE)
def test_the_spawn_point_of_the_rule_is_in_every_profile_and_its_numbers_are_those_of_the_figures(profile):
    spawn = f"{MARGINS['spawn_epoch']}ep"
    assert spawn in settings_of(profile, "loss-landscape")["spawn"]
    assert inspect.signature(chapter.figures.error_on_the_line).parameters["spawn"].default == spawn
    assert MARGINS["barrier"] == landscape.STABLE


def test_tables_card_figures_and_the_bill_on_real_runs(tmp_path, monkeypatch):
    matplotlib.use("Agg")
    monkeypatch.setenv("DATADIET_STORE", str(tmp_path))
    chosen, tables = settings_of("smoke", "loss-landscape", size=40), chapter.runs
    asked = tables.wanted(chosen)
    due = bill.of(asked).set_index("kind")
    assert due.loc["branch", "runs"] == 2 and due.loc["branch", "updates"] == 2 * (4 + 4 + 2) and due["minutes"].min() > 0
    table = runs.sweep(asked)
    assert list(table["rule"]) == ["full"] * 2 + ["branch"] * 2 and not len(bill.of(asked))
    turned, lines, heights = (tidy(chosen, table) for tidy in (tables.velocities, tables.lines, tables.barriers))
    assert len(turned) == 2 * 4 * 2 and list(turned.groupby("epoch")["after"].first()) == [False, True]
    assert len(lines) == 2 * 5 * 2 * 3 and lines["error"].between(0, 1).all() and sorted(lines["alpha"].unique()) == [0, 0.5, 1]
    assert len(heights) == 2 * 5 * 2 and (heights["barrier"] >= 0).all() and set(heights["epoch"]) == {0.0, 1.0}
    assert len(tables.behind(chosen, table)) == 2 * 5
    assert all(part.n == 2 for part in ledger.decide("P21-10", chosen, table).parts)
    empty = pd.DataFrame()
    assert ledger.decide("P21-10", chosen, empty).verdict == "no runs yet"
    figures = chapter.figures
    for other in (empty, table[table["rule"] == "full"]):  # nothing stored, or scoring runs only: the other chapter's
        for draw in (figures.kernel_velocity, figures.error_on_the_line, figures.barriers):
            figure = draw([View("This machine", chosen, table), View("Published", chosen, other)])
            assert len(figure.axes) == 2 and "stored yet" in figure.axes[1].texts[0].get_text()
    assert runs.again(asked[-1])[0]["errors"] == table.iloc[-1]["errors"]
    assert runs.store.arrays(runs.key(asked[-1]))["ids"].shape == (40,)


@pytest.mark.parametrize("name, columns", [("velocities", 6), ("lines", 6), ("barriers", 6), ("behind", 4)])
def test_empty_tables_have_their_columns(name, columns):
    assert getattr(chapter.runs, name)(STANDARD, pd.DataFrame()).shape == (0, columns)


# Its rule

def made(velocity, at_one, later, seeds=range(5), wobble=0.001):
    """Rows of runs whose hardest and easiest differ by as much as is said, with a little noise of each seed's own."""
    rows = []
    for run in chapter.runs.branched(STANDARD, "digits"):
        own = wobble * (run["seed"] - 2)
        gap = {"hardest": 1, "middle": 0.5, "easiest": 0, "random": 0.5, "all": 0.5}
        late = {g: [0.5 + share * (velocity and velocity + own)] * 6 for g, share in gap.items()}
        turned = {g: [9.0 if g == "easiest" else 0.0] * 2 + late[g] for g in gap}
        heights = {g: [at_one and at_one + own] * 2 + [later and later + own] for g in gap}
        errors = {g: [[0.1, 0.1 + gap[g] * max(0, h) + (1 - gap[g]) * max(0, -h), 0.1] for h in heights[g]] for g in gap}
        rows.append({"key": runs.key(run), "seed": run["seed"], "task": "digits", "velocity": turned, "errors": errors,
                     "spawn_epochs": [0.0, 1.0, 4.0], "ranked_epoch": 2.0})
    return pd.DataFrame([row for row in rows if row["seed"] in seeds])


@pytest.mark.parametrize("velocity, at_one, later, outcomes, said", [
    (0.1, 0.3, 0.2, ["holds"] * 3, "agrees"),
    (0.1, 0.3, 0.0, ["holds"] * 3, "agrees"),  # gone by the fourth epoch, but later than the easiest, who meet none
    (-0.1, -0.3, -0.2, ["fails"] * 3, "disagrees"),
    (0.1, 0.0, 0.0, ["holds", "undecided", "undecided"], "partly"),  # nobody meets one
    (0.1, 0.01, 0.005, ["holds", "fails", "undecided"], "partly"),  # less than what counts as one
    (-0.1, 0.3, 0.2, ["fails", "holds", "holds"], "partly"),
    (0.0, 0.0, 0.0, ["undecided"] * 3, "undecided"),
])
def test_the_rule_on_tables_made_by_hand(velocity, at_one, later, outcomes, said):
    """The velocity of the first two epochs, before the scoring point, is made to say the opposite: it must not count."""
    found = ledger.decide("P21-10", STANDARD, made(velocity, at_one, later))
    assert [part.outcome for part in found.parts] == outcomes and found.seeds == 5
    assert found.experiments[0].outcome == said and found.verdict == "could not have shown it"  # no full data was run


@pytest.mark.parametrize("place, arguments", [(0, (0.0, 0.3, 0.2)), (1, (0.1, 0.02, 0.2))])
@pytest.mark.parametrize("gain, outcome", [(0.001, "holds"), (-0.001, "fails")])
def test_a_part_holds_above_its_margin_and_fails_below(place, arguments, gain, outcome):
    moved = [value + gain * (number == place) for number, value in enumerate(arguments)]
    assert ledger.decide("P21-10", STANDARD, made(*moved, wobble=1e-4)).parts[place].outcome == outcome


@pytest.mark.parametrize("later, outcome, epochs", [
    (0.021, "holds", 4 + 4 / 21), (-0.021, "fails", -4 - 4 / 21), (0.019, "undecided", 0),
])
def test_a_barrier_up_to_two_points_keeps_nobody_behind(later, outcome, epochs):
    """Training ends after eight epochs: a barrier of 0.021 in the fourth is down to 0.02 a twenty-first of the rest later."""
    found = ledger.decide("P21-10", STANDARD, made(0.1, 0.0, later, wobble=1e-5)).parts[2]
    assert (found.outcome, found.effect) == (outcome, pytest.approx(epochs, abs=1e-3))


def test_a_missing_run_leaves_the_other_seeds_as_they_are():
    found = ledger.decide("P21-10", STANDARD, made(0.1, 0.3, 0.2, seeds=(1, 2, 4)).sample(frac=1, random_state=0)).parts
    assert [part.n for part in found] == [3, 3, 3]
    for part, mean in zip(found[:2], (0.1, 0.3), strict=True):
        assert (part.effect, part.low, part.high) == pytest.approx(interval([mean - 0.001, mean, mean + 0.002]))


def test_few_seeds_only_hint():
    """Images, whose full data was learned: 0.99 of ten digits."""
    learned = pd.DataFrame(rows(images.scoring(STANDARD, "digits"), around(0.99)))
    for seeds, said in (((0, 1, 2), "hint: reduced setting: agrees"), (range(5), "reduced setting: agrees")):
        assert ledger.decide("P21-10", STANDARD, pd.concat([made(0.1, 0.3, 0.2, seeds=seeds), learned])).verdict == said
