"""Kills at random moments: what is resumed ends with the table of one that nobody disturbed, bit for bit.

A few kills an engine here; as many as ``DATADIET_KILLS`` says in the nightly job (20), where the whole book is killed as well.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import datasets
import pandas as pd
import pytest
from small import KINDS, STEPS, config, scorable, words  # noqa: F401
from test_cluster import cluster  # noqa: F401

from datadiet import paths, runs, tables
from datadiet.runs import checked
from datadiet.tables import files

KILLS = int(os.environ.get("DATADIET_KILLS", "2"))
ROOT = Path(__file__).resolve().parent.parent
SWEEP = """
import sys; sys.path.insert(0, sys.argv[1])
import torch; torch.set_num_threads(1)
import datadiet.training.loop
from test_kills import CONFIGS
from datadiet import runs
if __name__ == "__main__":
    print("ready", flush=True)
    runs.sweep(CONFIGS, engine=sys.argv[2])
"""
SOURCE = {name: value for name, value in config().items() if name != "seed"}
CONFIGS = [config(seed=seed, epochs=2) for seed in range(6)] + [
    config(seed=seed, score_at=[], keep={"rule": "hardest", "score": "el2n", "at": "1ep", "seeds": [0, 1], "source": SOURCE})
    for seed in range(4)
]


def started(folder, engine, store):
    script = folder / "sweep_once.py"
    script.write_text(SWEEP)
    command = [sys.executable, str(script), str(ROOT / "tests"), engine]
    env = os.environ | {"DATADIET_STORE": str(store), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env,
                            start_new_session=True)  # fmt: skip


def ended(child) -> float:
    """Seconds from the begin of the sweep to its end."""
    assert child.stdout.readline() == "ready\n"
    start = time.monotonic()
    _, said = child.communicate(timeout=250)
    assert child.returncode == 0, said[-3000:]
    return time.monotonic() - start


def table_of(store, monkeypatch):
    monkeypatch.setenv("DATADIET_STORE", str(store))
    table = runs.sweep(CONFIGS, engine="stored")
    assert table.attrs["missing"] == 0
    arrays = [runs.store.arrays(key, "here") for key in table["key"]]
    times = [name for name in table if name.endswith("seconds") or name == "started"]
    return table.drop(columns=times), arrays


@pytest.mark.timeout(900 + 60 * KILLS)
@pytest.mark.parametrize("engine", ["here", "processes", "dask"])
def test_a_sweep_killed_at_random_moments_ends_as_one_never_killed(words, engine, request, monkeypatch):  # noqa: F811
    if engine == "dask":
        pytest.importorskip("distributed")
        workers = request.getfixturevalue("cluster")
        workers.worker(), workers.worker()
        workers.wait(2)
        engine = f"dask://127.0.0.1:{workers.port}"
    moments = moments_of_kills()
    took = ended(started(words, engine, words / "whole"))
    killed = 0
    while killed < KILLS:
        child = started(words, engine, words / "killed")
        assert child.stdout.readline() == "ready\n"
        time.sleep(moments.uniform(0, took / KILLS))  # the sweep goes on from kill to kill: all its moments have their turn
        with suppress(ProcessLookupError):  # it has just ended
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        if child.returncode == 0:  # ended before its kill, as workers that are warm do: sooner, and from the start
            took, killed = took / 2, 0
            shutil.rmtree(words / "killed")
            continue
        assert child.returncode == -signal.SIGKILL
        killed += 1
        monkeypatch.setenv("DATADIET_STORE", str(words / "killed"))
        if (words / "killed" / "runs.sqlite").is_file():
            _, faults = checked.live()
            assert all("a process was killed" in str(fault) for fault in faults), faults
    ended(started(words, engine, words / "killed"))
    one, its = table_of(words / "whole", monkeypatch)
    other, theirs = table_of(words / "killed", monkeypatch)
    pd.testing.assert_frame_equal(one, other)
    for mine, another in zip(its, theirs, strict=True):
        assert mine.keys() == another.keys() and all(mine[name].tobytes() == another[name].tobytes() for name in mine)


def test_two_sweeps_on_one_store_at_once_both_end_well(words, monkeypatch):  # noqa: F811
    children = [started(words, "here", words / "shared") for _ in range(2)]
    for child in children:
        ended(child)
    ended(started(words, "here", words / "whole"))
    one, its = table_of(words / "shared", monkeypatch)
    other, theirs = table_of(words / "whole", monkeypatch)
    pd.testing.assert_frame_equal(one, other)
    sources = {runs.key(run) for each in CONFIGS for run in runs.scoring_runs(each)} | {runs.key(run) for run in CONFIGS}
    assert checked.live(words / "shared") == (len(sources), [])
    for mine, another in zip(its, theirs, strict=True):
        assert all(mine[name].tobytes() == another[name].tobytes() for name in mine)


def moments_of_kills() -> random.Random:
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    return random.Random(seed)


SCORE = f"""
import sys
import torch, transformers, datadiet.audit.tuned
from datadiet.audit import engine, pictures, tagged, trained
from datadiet.cli import main
{'; '.join(f'{name} = {value}' for name, value in STEPS.items())}
print("ready", flush=True)
main(sys.argv[1:])
"""


@pytest.mark.timeout(900 + 60 * KILLS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_table_scored_under_kills_is_that_of_a_call_never_killed(kind, tmp_path):
    """With time for every member, the budget decides nothing; a kill at any moment leaves the whole result or none."""
    asked, out = scorable(kind, tmp_path, 240)
    there = sorted(each.name for each in tmp_path.iterdir())

    def begun(store):
        env = os.environ | {"DATADIET_STORE": str(tmp_path / store), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        child = subprocess.Popen([sys.executable, "-c", SCORE, *asked], cwd=tmp_path, env=env | {"PYTHONPATH": str(ROOT)},
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)  # fmt: skip
        assert child.stdout.readline() == "ready\n"
        return child, time.monotonic()

    child, start = begun("whole")
    assert "240 rows scored" in child.communicate()[0]
    took, whole = time.monotonic() - start, out.read_bytes()
    out.unlink()
    moments, killed = moments_of_kills(), 0
    while killed < KILLS:
        child, _ = begun("killed")
        with suppress(subprocess.TimeoutExpired):
            child.wait(moments.uniform(0, took))
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        _, problem = child.communicate()
        assert child.returncode in (0, -signal.SIGKILL), problem
        killed += child.returncode != 0
        if out.exists():  # of a call that got through, or that was killed once it had written: the next one begins anew
            assert out.read_bytes() == whole
            out.unlink()
    child, _ = begun("killed")
    _, problem = child.communicate()
    assert out.read_bytes() == whole, problem
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(["killed", "whole", out.name, *there])
    assert [each for each in (tmp_path / "killed").rglob("*") if each.is_file()] == [], "an audit that is through keeps no step"


WRITE = """
import os, signal, sys
from datadiet import tables
from datadiet.tables import folders

def die(*given, **options):
    os.kill(os.getpid(), signal.SIGKILL)

table, out = tables.read(sys.argv[1]), sys.argv[2]
if sys.argv[3] == "half":  # of the bytes, or of the files of a folder
    whole = table.save
    table.save = lambda stream: (whole(stream), stream.flush(), die())
    if isinstance(table, folders.Saved):
        inner = table.dataset.save_to_disk
        table.dataset.save_to_disk = lambda place: (inner(place), die())
else:
    os.replace = folders.Path.rename = die
table.write(out, force=True)
"""


@pytest.mark.parametrize("moment", ["half", "whole"])
@pytest.mark.parametrize("kind", ["csv", "csv.gz", "folder"])
def test_what_a_killed_call_leaves_goes_with_the_next(tmp_path, kind, moment):
    source, out = tmp_path / f"rows.{kind}", tmp_path / f"o[u]t*.{kind}"
    if kind == "folder":
        source, out = tmp_path / "rows", tmp_path / "out"
        datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}).save_to_disk(source)
    else:
        tables.read(_typed(tmp_path / "typed.csv")).write(source) if kind == "csv" else tables.like(
            tables.read(_typed(tmp_path / "typed.csv")), source).write(source)  # fmt: skip
    before = {each.name for each in tmp_path.iterdir()}
    for _ in range(2):
        child = subprocess.run([sys.executable, "-c", WRITE, source, out, moment], cwd=ROOT)
        left = {each.name for each in tmp_path.iterdir()} - before
        assert child.returncode == -signal.SIGKILL and len(left) == 1 and left.pop().endswith(".part")
    with files.growing(out, folder=kind == "folder") as part:
        assert {each.name for each in tmp_path.iterdir()} == before | {part.name}
        for _ in range(2):  # a call at work meanwhile leaves it
            tables.read(source).write(out, force=True)
        assert {each.name for each in tmp_path.iterdir()} == before | {part.name, out.name}
    assert {each.name for each in tmp_path.iterdir()} == before | {out.name}
    assert tables.read(out).cells("text") == ["a", "b"]


def _typed(file):
    file.write_text("text,label\na,0\nb,1\n")
    return file


@pytest.mark.skipif("DATADIET_KILLS" not in os.environ, reason="minutes a kill: set DATADIET_KILLS, as the nightly job does")
@pytest.mark.timeout(0)
def test_a_book_killed_at_random_moments_is_the_book_never_killed(tmp_path):
    """Each build in a clone of its own; page by page the HTML is equal but for times, and for what a budget of 30 s left out."""
    moments, pages = moments_of_kills(), {}
    for name in ("whole", "killed"):
        clone = tmp_path / name / "book"  # the same name: pages say where they lie
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        env = os.environ | {"PYTHONPATH": str(clone), "DATADIET_STORE": str(tmp_path / name / "store"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", "from datadiet.cli import main; main()", "book", "--profile", "smoke"]
        start = time.monotonic()
        for _ in range(KILLS if name == "killed" else 0):
            child = subprocess.Popen(command, cwd=clone, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                     start_new_session=True)  # fmt: skip
            time.sleep(moments.uniform(0, 1.5 * took / KILLS))  # noqa: F821 - of the first clone
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        subprocess.run(command, cwd=clone, env=env, check=True, capture_output=True)
        took = time.monotonic() - start  # noqa: F841
        html = clone / "_build" / "html"
        pages[name] = {file.relative_to(html): file.read_text() for file in sorted(html.rglob("*.html"))}
    assert pages["whole"].keys() == pages["killed"].keys()
    assert compared(pages["whole"], pages["killed"]) <= {Path("chapters/my-csv.html")}


SHORT = re.compile(r"For want of time|until second \d+ of the \d+ that there are")


def compared(one: dict, other: dict) -> set:
    """Pages that differ by more than times, where one of the two builds says that the seconds of a budget left something out; a
    page that differs otherwise is a failure."""
    short = set()
    for page, text in one.items():
        mine, another = without_times(text), without_times(other[page])
        if mine != another and (SHORT.search(text) or SHORT.search(other[page])):
            print(f"{page} differs: its budget was too short for all that it would do")
            short.add(page)
        else:
            assert mine == another, page
    return short


def without_times(html: str) -> str:
    """A page without what differs between two builds: times of day, durations, and the ids of a rendering.

    Durations are numbers before a unit of time, cells of a column that is headed "seconds", what the Trainer of transformers
    says of its speed, and the places in a drawing of runs made here along an axis of times. Of such a drawing the sentence that
    says what it shows is compared, its places left out.
    """
    html = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00|Z)?", "TIME", html)
    html = re.sub(r"\b\d+(\.\d+)?( |&nbsp;)(s|ms|seconds|minutes|min|hours|h)\b", "DURATION", html)
    html = re.sub(r"'(train_runtime|train_\w+_per_second)': '[\d.e+-]+'", r"'\1': 'DURATION'", html)
    html = re.sub(r"<table.*?</table>", _without_seconds, html, flags=re.DOTALL)
    html = re.sub(r'<svg class="dd-drawing".*?</svg>', _without_measured_axis, html, flags=re.DOTALL)
    return re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "ID", html)


def _without_seconds(table) -> str:
    heads = [re.sub(r"<.*?>", "", head).strip() for head in re.findall(r"<th\b.*?</th>", table[0].split("</tr>")[0], re.DOTALL)]
    if "seconds" not in heads:
        return table[0]

    def row(found):
        beginning, *cells = re.split(r"(?=<t[hd]\b)", found[0])
        if len(cells) != len(heads):
            return found[0]
        cells[heads.index("seconds")] = re.sub(r"(?<=>)[\d.]+(?=<)", "DURATION", cells[heads.index("seconds")])
        return beginning + "".join(cells)

    return re.sub(r"<tr.*?</tr>", row, table[0], flags=re.DOTALL)


def _without_measured_axis(drawing) -> str:
    said = re.search(r'aria-label="(.*?)"', drawing[0])[1]
    if not said.startswith("Rebuilt here") or not re.search(r"<text[^>]*>\s*(seconds|time) (of|over) ", drawing[0]):
        return drawing[0]
    return "DRAWING " + re.sub(r" at [\d.e+-]*\d", " at DURATION", said)


def test_times_are_all_that_is_left_out():
    def page(seconds="3.2", accuracy="0.71", place="0.04", where="Rebuilt here", day="2026-11-28"):
        return f"""at {day} 10:00:01 in {seconds} s, {{'train_runtime': '{seconds}', 'train_loss': '{accuracy}'}}
            <table><tr><th>task</th><th>seconds</th><th>cost</th></tr>
            <tr><td>{accuracy}</td><td class="n"><p>{seconds}</p></td><td>{accuracy}</td></tr></table>
            <svg class="dd-drawing" aria-label="{where}, smoke. accuracy: ours from {accuracy} at {place} to 0.5 at 1e-05."><path
            d="M{place}"/><text style="x"> seconds of training</text></svg>"""

    assert without_times(page()) == without_times(page(seconds="14", place="0.5", day="2027-01-01"))
    assert without_times(page()) != without_times(page(accuracy="0.72"))
    assert without_times(page(where="Published")) != without_times(page(where="Published", place="0.5"))
    assert without_times("<table><tr><th>cost</th></tr><tr><td>1</td></tr></table>") != without_times(
        "<table><tr><th>cost</th></tr><tr><td>2</td></tr></table>")
    said = " ".join((ROOT / "datadiet" / "audit" / f"{name}.py").read_text() for name in ("engine", "frozen"))
    assert "For want of time" in said and "would take until second {until:.0f} of the {clock.budget:g} that there are" in said
    with pytest.raises(AssertionError):
        compared({"a": "accuracy 0.71"}, {"a": "accuracy 0.72"})
    assert paths.root() == ROOT
