"""A call after a killed one goes on where that stopped, with the same answer; what is torn or foreign is never used."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small import KINDS, STEPS, scorable

from datadiet.audit import engine, pace, tuned
from datadiet.audit.clock import Clock
from datadiet.audit.kept import Kept
from datadiet.data import Split
from datadiet.training import loop

SCORE = """
import json, os, signal, sys
import numpy as np
from datadiet import data, tables
from datadiet.audit import engine
from datadiet.audit.kept import Kept

file, die, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
made, found = [], Kept.found

def counted(self, name):
    kept = found(self, name)
    if kept is None and " within " not in name:  # a fold is looked for by two names
        made.append(name)
        if len(made) > die:
            os.kill(os.getpid(), signal.SIGKILL)
    return kept

Kept.found = counted
audit = engine.of_table(tables.read(file), text="text", label="label", encoder="tiny", budget=600.0, keep=True)
np.savez(out, probs=audit.probs, wrong=audit.wrong, check=audit.check["auc"])
print(json.dumps({"made": made, "said": audit.warnings, "epochs": audit.how["epochs"]}))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DATADIET_STORE", str(tmp_path / "store"))
    return tmp_path


def call(folder: Path, die: int, out: str):
    words = [sys.executable, "-c", SCORE, str(folder / "rows.csv"), str(die), str(folder / out)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "DATADIET_STORE": str(folder / f"store {out[0]}")}
    return subprocess.run(words, env=env, capture_output=True, text=True)


def test_a_killed_call_goes_on_with_the_same_answer(folder):
    import json

    from datadiet import data

    train = data.shrink(data.load("docstrings"), 48, seed=0).train
    rows = [f'"{text.replace(chr(34), "")}",{label}' for text, label in zip(train.inputs["text"], train.labels, strict=True)]
    (folder / "rows.csv").write_text("text,label\n" + "\n".join(rows), encoding="utf-8")
    whole = json.loads(call(folder, 999, "a.npz").stdout)
    assert whole["epochs"] == 3 and not any("earlier call" in said for said in whole["said"])
    first, member = "encoded 0, 128 tokens, 2 layers", "member words in 600 s"
    assert {first, member, "round 0 fold 1 of 3", "round 4 fold 2 of 3"} <= set(whole["made"])
    at = whole["made"].index("round 1 fold 2 of 3")
    for die in (2, at - 2):
        assert call(folder, die, "b.npz").returncode == -signal.SIGKILL
    again = json.loads(call(folder, 999, "b.npz").stdout)
    assert again["made"] == whole["made"][at:], "what was finished is not made again"
    assert any(f"{at} of its steps were used again" in said for said in again["said"])
    one, other = np.load(folder / "a.npz"), np.load(folder / "b.npz")
    for name in one.files:
        assert (one[name] == other[name]).all(), name
    assert not list((folder / "store b").rglob("*.npz")), "an audit that is through leaves nothing behind"


def test_steps_that_are_torn_or_foreign_are_made_again(folder):
    seed = np.random.default_rng().integers(1_000_000)
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(30, 4))
    made = []

    def make():
        made.append(1)
        return {"x": values, "n": np.array(3)}

    first = Kept(["rows", 1])
    first.step("one", make)
    found = Kept(["rows", 1])
    assert (found.step("one", make)["x"] == values).all() and len(made) == 1 and found.used == ["one"]
    [file] = first.folder.glob("*.npz")
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 1
    for bad in (whole[:-7], whole[: len(whole) // 2], b"", b"not an archive", bytes(flipped)):
        file.write_bytes(bad)
        found = Kept(["rows", 1])
        assert (found.step("one", make)["x"] == values).all() and found.torn == ["one"], f"seed {seed}"
        assert "were not whole" in found.said()[0] and file.read_bytes() != bad
    assert len(made) == 6
    other = Kept(["rows", 1])
    other.step("two", lambda: {"x": values + 1})
    two = next(each for each in other.folder.glob("*.npz") if each != file)
    two.replace(file)  # a whole file of another step, under this one's name
    assert (Kept(["rows", 1]).step("one", make)["x"] == values).all() and len(made) == 7
    assert Kept(["rows", 2]).step("one", lambda: {"x": values * 0})["x"].sum() == 0, "another table has its own steps"


def test_steps_that_nobody_came_back_for_go_after_a_month(folder):
    old, new = Kept(["old"]), Kept(["new"])
    for each in (old, new):
        each.put("one", {"a": np.arange(3)})
    os.utime(old.folder, (0, 0))
    assert Kept(["old"]).there(), "the audit that is asked for itself goes on at any age"
    Kept(["another"])
    assert new.there() and not old.folder.exists()


def test_without_a_place_nothing_is_kept(folder, monkeypatch):
    assert Kept().step("one", lambda: {"x": 1}) == {"x": 1} and not (folder / "store").exists()
    (folder / "store").write_text("a file where the store should be")
    assert Kept(["rows"]).step("one", lambda: {"x": np.ones(2)})["x"].sum() == 2


# --- From the command line


@pytest.fixture
def table(folder, monkeypatch):
    monkeypatch.chdir(folder)
    asked = ["the payment did not go through", "I cannot sign in any more", "the box was left outside again"]
    rows = [f"{asked[i % 3]} ticket {i},{'abc'[i % 3]}" for i in range(40)]
    (folder / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    return ["score", "rows.csv", "--encoder", "tiny", "--budget", "0.0001"]


def test_a_call_stopped_by_hand_says_so_and_the_next_goes_on(table, folder, monkeypatch):
    from click.testing import CliRunner

    from datadiet import cli
    from datadiet.audit import members

    with monkeypatch.context() as patch:
        patch.setattr(members, "chosen", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        result = CliRunner().invoke(cli.main, table)
    assert result.exit_code == 130 and "Traceback" not in result.output
    assert "stopped by hand; nothing was written, and what was finished is kept" in result.stderr
    assert not list(folder.glob("*.scored.csv"))
    result = CliRunner().invoke(cli.main, table)
    assert result.exit_code == 0 and "1 of its steps were used again" in result.stdout, result.output
    assert not list((folder / "store").rglob("*.npz"))


@pytest.mark.parametrize("more", [[], ["--report", "rows.html"]])
def test_a_disk_that_is_full_in_the_end_costs_no_work(table, folder, monkeypatch, more):
    from click.testing import CliRunner

    from datadiet import cli, tables
    from datadiet.errors import InputError

    real, files = tables.files.whole, []

    def full(out, force=False):
        files.append(out)
        if len(files) == 1 + bool(more):  # the table itself, or the report after it
            raise InputError(f"tables.write: {out} could not be written: the disk is full.")
        return real(out, force)

    with monkeypatch.context() as patch:
        for module in (tables.files, tables.table.files):
            patch.setattr(module, "whole", full)
        result = CliRunner().invoke(cli.main, table + more)
    assert result.exit_code == 2 and "What was computed is kept" in result.stderr, result.output
    result = CliRunner().invoke(cli.main, [*table, *more, "--force"])
    assert result.exit_code == 0 and "of its steps were used again" in result.stdout, result.output
    assert not list((folder / "store").rglob("*.npz"))


@pytest.mark.parametrize("kind", KINDS[1:])
def test_calls_stopped_by_hand_again_and_again_end_as_one_never_stopped(kind, folder, monkeypatch):
    """Each is stopped once it has kept a few steps; none is made twice, and the last call writes the same bytes."""
    from click.testing import CliRunner

    from datadiet import cli

    monkeypatch.chdir(folder)
    asked, out = scorable(kind, folder)
    for name, value in STEPS.items():
        monkeypatch.setattr(f"datadiet.audit.{name}", value)

    def call():
        result = CliRunner().invoke(cli.main, asked)
        written = out.read_bytes() if out.exists() else None
        out.unlink(missing_ok=True)
        return result, written

    result, whole = call()
    assert result.exit_code == 0 and "used again" not in result.stdout, result.output
    put, made = Kept.put, []

    def stopping(self, name, arrays):
        put(self, name, arrays)
        made.append(name)
        if len(made) % 5 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(Kept, "put", stopping)
    stops = 0
    while stops < 20:
        result, written = call()
        if result.exit_code == 0 and "Stopped by hand" not in result.stdout:
            break
        stops += 1
        if result.exit_code == 0:  # finished runs of models that train on the rows are worth a result
            assert kind == "trained" and "The same call goes on from there." in result.stdout
        else:
            assert result.exit_code == 130 and written is None, result.output
            assert "nothing was written, and what was finished is kept" in result.stderr
    assert stops > 1 and "used again" in result.stdout and written == whole
    # Of a training each epoch but the last leaves a state, in place of the one before.
    each = Counter(made)
    assert all(times == (4 if name.endswith("begun") else 1) for name, times in each.items()), each
    assert not list((folder / "store").rglob("*.npz"))


def test_more_time_is_used_by_a_call_that_goes_on(folder, monkeypatch):
    """What too little time left out, epochs of fine-tuning and rows of a regression, is decided anew where there is more."""
    rows = engine.members.TRIAL + 100
    given, matrix = np.arange(rows) % 2, np.ones((rows, 2), np.float32)
    seen = []
    monkeypatch.setattr(engine.members, "chosen", lambda *_: 3.0)
    monkeypatch.setattr(engine.members, "held_out", lambda *asked: seen.append(asked[5]) or np.full((rows, 2), 0.5))
    monkeypatch.setattr(pace, "of_updates", lambda *asked, **more: 0.001)

    def trained(way, epochs, fold, held, seed):
        made.append(int(epochs))
        return {"probs": np.full(((fold == held).sum(), 2), 0.5)}

    monkeypatch.setattr(tuned, "_fold", trained)
    monkeypatch.setattr(tuned, "_middle", lambda *asked: None)
    monkeypatch.setattr(tuned.Way, "problem", lambda self, seed: None)
    task = SimpleNamespace(train=Split(np.arange(rows), given, {}), name="table", n_classes=2)
    epoch, made = 0.001 * loop.updates_per_epoch(rows, 16), []
    third, half = 3 * (2.5 * 2 / 3 + tuned.SCORING / 3) * epoch, 2 * (2.5 / 2 + tuned.SCORING / 2) * epoch  # 2.5 epochs each
    enough = 1.05 / tuned.PLANNED
    for budget, epochs in ((1e-9, []), (enough * half, [2] * 2 + [3] * 12), (enough * third, [2] * 3), (3600.0, [3] * 3)):
        kept = Kept(["an audit"])
        engine._made({"words": matrix}, given, 2, given, Clock(budget), 0, kept)
        how = {"encoder": "minilm", "max_length": 128, "seed": 0, "spare": 0.0, "least": 0.0, "kept": kept, "said": []}
        list(tuned.rounds(task, Clock(budget), **how))
        assert made == epochs, budget
        made.clear()
    assert seen[0] == engine.members.TRIAL and seen[-1] == rows


@pytest.mark.parametrize("kind", KINDS[1:])
def test_other_rows_and_settings_are_another_audit(kind, folder, monkeypatch):
    from click.testing import CliRunner

    from datadiet import cli

    monkeypatch.chdir(folder)
    asked, _ = scorable(kind, folder, 40)
    seen = []

    def audit(*more) -> str:
        """The audit that a call with `more` options begins; it ends with its first step."""
        with monkeypatch.context() as patch:
            patch.setattr(Kept, "step", lambda self, name, make: (seen.append(self.audit), 1 / 0))
            assert isinstance(CliRunner().invoke(cli.main, [*asked, *more]).exception, ZeroDivisionError)
        return seen[-1]

    first = audit()
    assert audit() == first and audit("--budget", "1h") == first, "more time goes on from what there is"
    if kind == "images":
        file = folder / "rows" / "a" / "000.png"
        whole, times = file.read_bytes(), file.stat()
        file.write_bytes(whole[:-1] + b"x")
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    else:
        assert audit("--max-length", "64") != first and audit("--encoder", "minilm") != first
        [file] = folder.glob("rows.*")
        file.write_text(file.read_text().replace("ulm" if kind == "tags" else '\n"', "wien" if kind == "tags" else '\n"A ', 1))
    assert audit() != first
    first = audit()
    monkeypatch.setattr("datadiet.__version__", "9")
    assert audit() != first
    if kind == "trained":
        assert audit("--precision", "bfloat16") != audit()
