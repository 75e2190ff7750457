"""Runs of the paper profile in small: true architectures, random weights, made rows."""

import os

import pytest
from click.testing import CliRunner
from small import config, words  # noqa: F401

from datadiet import paths, runs
from datadiet.chapters.asked import asked
from datadiet.cli import main
from datadiet.errors import InputError
from datadiet.runs import rehearsal


@pytest.fixture
def place(tmp_path):
    """A folder for stand-ins, whose encoders are named and not written."""
    return tmp_path


def test_every_run_of_the_paper_profile_has_a_stand_in(place, monkeypatch):
    monkeypatch.setattr(rehearsal, "_write_encoder", lambda folder, encoder: folder.mkdir(parents=True))
    _, wanted = asked([], "paper", {})
    with rehearsal.elsewhere(place):
        small = {runs.key(rehearsal.reduced(run, place)) for run in wanted}
    assert len(wanted) > 2000 and 100 < len(small) < len(wanted) / 5


@pytest.mark.parametrize("chapter, kind", [("joint", "keep hardest by joint_norm"), ("dynamic-pruning", "schedule soft"),
                                           ("grand-at-init", "keep hardest by grand")])  # fmt: skip
def test_a_kind_of_run_passes_with_the_true_architecture(chapter, kind):
    _, wanted = asked([chapter], "paper", {})
    sets, nets = ("snips", "hub:rte", "hub:cifar10"), ("roberta-base", "resnet18")
    one = [run for run in wanted if rehearsal.kind_of(run) == kind and run["task"] in sets and run["encoder"] in nets][:1]
    names = ("DATADIET_DATA", "DATADIET_STORE", "HF_HUB_OFFLINE")
    before = [os.environ.get(name) for name in names]
    found = rehearsal.rehearse(one)
    assert found["outcome"].tolist() == ["passed"], found["outcome"][0]
    assert found["runs"].tolist() == [1]
    assert [os.environ.get(name) for name in names] == before


PARAMETERS = {"bert-base-uncased": 109_482_240, "bert-base-cased": 108_310_272, "roberta-base": 124_645_632,
              "google/bert_uncased_L-4_H-512_A-8": 28_763_648}  # of the published encoders, heads left out  # fmt: skip


@pytest.mark.parametrize("encoder", PARAMETERS)
def test_the_architectures_are_the_true_ones(encoder):
    import torch

    cls, options = rehearsal.architecture(encoder)
    with torch.device("meta"):
        model = cls(options)
    assert sum(each.numel() for each in model.parameters()) == PARAMETERS[encoder]


def test_a_kind_that_fails_is_said_and_the_others_go_on(words, monkeypatch):  # noqa: F811
    """And the store and the data folder of the caller are as they were."""
    monkeypatch.setitem(rehearsal.SETS, "words", ("text", 3))
    compute = runs.compute

    def some(run, *args, **options):
        if run["epochs"] == 2:
            raise InputError("no room")
        return compute(run, *args, **options)

    monkeypatch.setattr(runs, "compute", some)
    monkeypatch.setattr(rehearsal, "_encoder_in", lambda folder, encoder: encoder)
    found = rehearsal.rehearse([config(seed=0), config(seed=1), config(epochs=2)])
    assert found["runs"].tolist() == [2, 1] and found["outcome"][0] == "passed" and "no room" in found["outcome"][1]
    assert not (paths.store() / "runs.sqlite").exists()


UNKNOWN = [(config(), "no stand-in is known for the set 'words'"),
           (config(task="hub:mnli", encoder="some/other"), "'some/other' is not known here")]  # fmt: skip


@pytest.mark.parametrize("run, said", UNKNOWN)
def test_an_unknown_set_or_encoder_is_refused(run, said):
    with pytest.raises(InputError, match=said):
        rehearsal.rehearse([run])


def test_the_command_says_how_many_kinds_passed(monkeypatch):
    import pandas as pd

    outcome = pd.DataFrame({"kind": ["full", "pool"], "runs": [3, 2], "seconds": 1.0, "outcome": ["passed", "OSError: x"]})
    for rows, code in ((outcome, 1), (outcome[:1], 0)):
        monkeypatch.setattr(rehearsal, "rehearse", lambda wanted, rows=rows: rows)
        result = CliRunner().invoke(main, ["plan", "joint", "--profile", "paper", "--rehearse"])
        assert result.exit_code == code and f"1 of {len(rows)} kinds of run passed" in result.output
