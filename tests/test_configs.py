"""Configs: every setting has a type and a range, one value has one form and one key, published configs keep theirs."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from datadiet import runs
from datadiet.errors import InputError
from datadiet.runs import configs
from datadiet.training import pictures

ROOT = Path(__file__).resolve().parent.parent
SOURCE = {"epochs": 2, "score_at": [0, "1ep"]}
RANKED = {"rule": "hardest", "score": "el2n", "at": "1ep", "seeds": [1, 2], "source": SOURCE}


@pytest.fixture(scope="module")
def published():
    """Key -> config of every published run, as it is stored."""
    rows = pq.read_table(ROOT / "results" / "runs.parquet", columns=["key", "config"]).to_pylist()
    return {row["key"]: json.loads(row["config"]) for row in rows}


def test_published_configs_keep_their_keys(published):
    assert len(published) >= 2528
    assert [key for key, run in published.items() if runs.key(run) != key] == []


def test_a_published_config_made_anew_has_the_same_key(published):
    made = {key: runs.config(**run) for key, run in published.items()}
    assert [key for key, run in made.items() if runs.key(run) != key] == []
    assert [key for key, run in made.items() if runs.config(**run) != run] == []  # it is complete already


@pytest.mark.parametrize("changes, said", [
    ({"epochs": "three"}, "epochs 'three'; .* a whole number from 0"), ({"epochs": 3.0}, "epochs 3.0"),
    ({"epochs": True}, "epochs True"),
    ({"epochs": -1}, "epochs -1"), ({"epochs": None}, "epochs None"), ({"batch_size": 0}, "batch_size 0; .* from 1"),
    ({"max_length": 0}, "max_length 0; .* from 1"), ({"learning_rate": -1}, "learning_rate -1; .* above 0"),
    ({"learning_rate": 0}, "learning_rate 0"), ({"learning_rate": float("nan")}, "learning_rate nan"),
    ({"learning_rate": float("inf")}, "learning_rate inf"), ({"learning_rate": "1e-3"}, "learning_rate '1e-3'"),
    ({"learning_rate": True}, "learning_rate True"), ({"learning_rate": 10**400}, "learning_rate 1000"),
    ({"optimizer": "adam"}, "optimizer 'adam'; choose one of adamw, sgd"), ({"inputs": "raw"}, "inputs 'raw'; choose one of"),
    ({"precision": "float8"}, "precision 'float8'"), ({"training_precision": "int8"}, "training_precision 'int8'"),
    ({"device": "tpu"}, "device 'tpu'; choose one of cpu, cuda, mps"), ({"device": "auto"}, "device 'auto'"),
    ({"budget": "hours"}, "budget 'hours'; choose one of epochs, steps"), ({"seed": -1}, "seed -1"),
    ({"seed": 2**32}, "seed 4294967296"),
    ({"noise": 1}, "noise 1; .* from 0, below 1"), ({"noise": -0.1}, "noise -0.1"), ({"noise": np.float64("nan")}, "noise "),
    ({"validation": 1.0}, "validation 1.0"), ({"size": 0}, "size 0; .* or None for all"), ({"layers": 0}, "layers 0"),
    ({"grand_size": -1}, "grand_size -1"), ({"folds": 1}, "at least 2 folds"), ({"folds": 2.0}, "folds 2.0"),
    ({"decay": 1}, "decay 1"),
    ({"watch": None}, "watch None"), ({"task": 3}, "task 3"), ({"task": ""}, "task ''"), ({"encoder": None}, "encoder None"),
    ({"score_at": 0}, "score_at 0; .*a list"), ({"score_at": [1.0]}, "scoring point 1.0"),
    ({"score_at": ["ep"]}, "scoring point 'ep'"),
    ({"score_at": [True]}, "scoring point True"), ({"score_at": [-1]}, "scoring point -1"),
    ({"score_at": "1ep"}, "score_at '1ep'"),
    ({"score_at": ["4ep"]}, "'4ep', which lies beyond the last of 3 epochs"),
    ({"epochs": 0, "score_at": ["1ep"]}, "last of 0 epochs"),
    ({"size": 100, "batch_size": 32, "score_at": [13]}, "13, which lies beyond the last of 12 updates"),
    ({"keep": 0.5}, "keep 0.5; give a dict"), ({"keep": {"fraction": 0}}, "keep: fraction 0; .* above 0, at most 1"),
    ({"keep": {"fraction": "half"}}, "keep: fraction 'half'"), ({"keep": {"rule": "best"}}, "keep: rule 'best'"),
    ({"keep": {"offset": 1}}, "keep: offset 1"), ({"keep": {"balanced": "yes"}}, "keep: balanced 'yes'"),
    ({"keep": RANKED | {"score": "el3n"}}, "keep: score 'el3n'"), ({"keep": RANKED | {"seeds": [1.0]}}, "keep: seeds"),
    ({"keep": RANKED | {"seeds": 1}}, "keep: seeds 1"), ({"keep": RANKED | {"at": "2ep"}}, "at '2ep'; its source is scored at"),
    ({"keep": {"rule": "hardest"}}, "rule hardest ranks by scores; give score, at, seeds, source"),
    ({"keep": RANKED | {"seeds": []}}, "give seeds"), ({"keep": RANKED | {"source": "mine"}}, "source 'mine'"),
    ({"keep": RANKED | {"source": SOURCE | {"epochs": "two"}}}, "epochs 'two'"),
    ({"keep": RANKED | {"source": SOURCE | {"keep": RANKED}}}, "leans on runs itself"),
    ({"schedule": {"rule": "hardest", "fraction": 1.5}}, "schedule: fraction 1.5"),
    ({"schedule": {"every": 0}}, "schedule: every 0"),
    ({"schedule": {"rule": ["hardest"]}}, "schedule: rule"), ({"schedule": {"rule": "soft", "drop": 1}}, "schedule: drop 1"),
    ({"schedule": "hardest"}, "schedule 'hardest'"), ({"augment": {"factuals": "all"}}, "augment: factuals 'all'"),
    ({"augment": {"factual_rule": "hardest"}}, "rule hardest ranks by scores"), ({"pool": {"start": 1.5}}, "pool: start 1.5"),
    ({"branch": {"spawn": [0.5]}}, "branch: spawn has the scoring point 0.5"),
    ({"branch": {"alphas": "5"}}, "branch: alphas '5'"),
])  # fmt: skip
def test_bad_settings_say_what_is_allowed(changes, said):
    with pytest.raises(InputError, match=said):
        runs.config(**changes)
    if "keep" not in changes:  # neither does a key take them
        with pytest.raises(InputError, match=said):
            runs.key(runs.config() | changes)


def test_unknown_keys_are_refused():
    with pytest.raises(InputError, match="unknown config key.*epoch.*known.*epochs"):
        runs.config(epoch=3)
    with pytest.raises(InputError, match="unknown keep key"):
        runs.config(keep={"share": 0.5})


BRANCH = {"score": "el2n", "at": "1ep", "seeds": [1], "source": SOURCE}
WEAK = {"pool": {"start": 20}}


@pytest.mark.parametrize("one, other", [
    ({"noise": 0}, {"noise": 0.0}), ({"noise": -0.0}, {"noise": 0.0}), ({"validation": 0}, {"validation": 0.0}),
    ({"learning_rate": 1}, {"learning_rate": 1.0}), ({"learning_rate": 5e-05}, {"learning_rate": 0.00005}),
    ({"noise": np.float64(0.2)}, {"noise": 0.2}), ({"epochs": np.int64(3)}, {"epochs": 3}), ({"size": np.int32(9)}, {"size": 9}),
    ({"decay": np.bool_(False)}, {"decay": False}), ({"task": np.str_("digits")}, {"task": "digits"}),
    ({"score_at": (0, "01ep")}, {"score_at": [0, "1ep"]}), ({"score_at": [np.int64(3)]}, {"score_at": [3]}),
    ({"keep": {"fraction": 1, "offset": 0}}, {"keep": {"fraction": 1.0, "offset": 0.0}}),
    ({"keep": RANKED | {"source": SOURCE | {"noise": 0, "validation": np.float64(0.5)}}},
     {"keep": RANKED | {"source": SOURCE | {"noise": 0.0, "validation": 0.5}}}),
    ({"keep": RANKED | {"seeds": (np.int64(1), 2)}}, {"keep": RANKED}),
    ({"keep": RANKED | {"source": runs.config(**SOURCE)}}, {"keep": RANKED}),  # as complete as it may be, and with a seed
    ({"augment": {"factuals": 1, "counterfactuals": 0}}, {"augment": {"factuals": 1.0, "counterfactuals": 0.0}}),
    ({"pool": {"by": "random", "confident": 1, "source": WEAK}}, {"pool": {"by": "random", "confident": 1.0, "source": WEAK}}),
    ({"branch": BRANCH | {"share": 1}}, {"branch": BRANCH | {"share": 1.0}}),
    ({"schedule": {"rule": "hardest", "fraction": 1, "offset": 0, "alpha": 1, "spread": 0}},
     {"schedule": {"rule": "hardest", "fraction": 1.0, "offset": 0.0, "alpha": 1.0, "spread": 0.0}}),
    ({"schedule": {"rule": "soft", "full_last": 0}}, {"schedule": {"rule": "soft", "full_last": 0.0}}),
    ({"device": "cuda"}, {"device": "cuda", "training_precision": "bfloat16"}),
])  # fmt: skip
def test_equal_configs_have_one_form_and_one_key(one, other):
    assert json.dumps(runs.config(**one)) == json.dumps(runs.config(**other))
    assert runs.key(runs.config(**one)) == runs.key(runs.config(**other))
    if "keep" not in one and set(one) != {"device"} and not set(one) & set(configs.COMPLETE):
        assert runs.key(runs.config() | one) == runs.key(runs.config(**other))  # a key settles the form as well


def test_keys_that_differ():
    cuda, full = {"device": "cuda"}, {"device": "cuda", "training_precision": "float32"}
    different = [{}, {"noise": 0.1}, {"seed": 1}, {"device": "mps"}, cuda, full, {"training_precision": "bfloat16"},
                 {"keep": RANKED}, {"keep": RANKED | {"source": SOURCE | cuda}}, {"keep": RANKED | {"source": SOURCE | full}}]
    assert len({runs.key(runs.config(**changes)) for changes in different}) == len(different)


def test_a_source_carries_its_own_device():
    run = runs.config(keep=RANKED | {"source": SOURCE | {"device": "cuda"}})
    assert (run["device"], run["training_precision"]) == ("cpu", "float32")
    assert [(each["device"], each["training_precision"], each["seed"]) for each in runs.scoring_runs(run)] == [
        ("cuda", "bfloat16", 1), ("cuda", "bfloat16", 2)]  # fmt: skip


def test_a_key_is_that_of_the_meaning_not_of_the_order():
    one, other = runs.config(seed=3), dict(reversed(list(runs.config(seed=3).items())))
    assert runs.key(one) == runs.key(other) and len(runs.key(one)) == 64
    assert runs.key(one) != runs.key(runs.config(seed=4))


def test_a_key_changes_with_the_protocol(monkeypatch):
    before = runs.key(runs.config())
    monkeypatch.setattr(configs, "PROTOCOL", configs.PROTOCOL + 1)
    assert runs.key(runs.config()) != before


def test_a_key_follows_a_config_that_is_changed():
    """Keys are remembered by content, so that no dict is taken for what it was before."""
    run = runs.config(keep=RANKED)
    before = runs.key(run)
    run["keep"]["source"]["batch_size"] = 8
    assert runs.key(run) not in (before, runs.key(runs.config(keep=RANKED)))
    assert runs.key(runs.config(keep=RANKED)) == before


def test_no_config_shares_a_list_with_another():
    runs.config()["score_at"].append(7)
    runs.config(keep={})["keep"]["seeds"].append(7)
    assert runs.config()["score_at"] == runs.config(keep={})["keep"]["seeds"] == []


@pytest.mark.parametrize("name", configs.LATER)
def test_a_later_setting_at_its_default_leaves_no_trace_in_a_key(name):
    """A run computed before a setting existed is the run with that setting at its default; in its scoring runs' config too."""
    def bare(run):
        return {setting: value for setting, value in run.items() if setting != name}

    run = runs.config(keep=RANKED)
    old = bare(run) | {"keep": run["keep"] | {"source": bare(run["keep"]["source"])}}
    assert runs.key(old) == runs.key(run)
    assert name not in configs._named(run) and name not in configs._named(run)["keep"]["source"]


def test_choices_are_those_of_the_modules_that_carry_them_out():
    assert configs.INPUTS == tuple(pictures.INPUTS)
    assert set(configs.WITHIN) == {"keep", *configs.COMPLETE}
    from datadiet import dynamic
    from datadiet.training import fairness, growth, landscape

    known = {"schedule": [*dynamic.SETTINGS.values(), *dynamic.LATER.values()], "augment": [fairness.SETTINGS],
             "pool": [growth.START, growth.ADD], "branch": [landscape.SETTINGS], "keep": [configs.KEEP]}
    for name, dicts in known.items():
        assert set().union(*dicts) - {"source"} == set(configs.WITHIN[name]), name


def test_changing_a_config_changes_no_later_one():
    one = runs.config(task="feedback", augment={})
    before = runs.key(one)
    one["augment"]["seeds"].append(3)
    assert runs.key(runs.config(task="feedback", augment={})) == before
