"""The queue of runs that wait for a GPU: its entries, their runs, and the bill."""

import math

import pytest
from click.testing import CliRunner

from datadiet import chapters, cli, paths, runs
from datadiet.chapters import queue
from datadiet.chapters.settings import has, settings_of
from datadiet.errors import InputError


def test_every_entry_names_chapters_that_its_profile_has():
    found = queue.entries()
    assert found and all(has(entry.profile, name) for entry in found for name in entry.chapters)
    assert all(settings_of(entry.profile, name)["device"] == "cuda" for entry in found for name in entry.chapters)


def test_the_runs_of_an_entry_are_those_of_its_chapters_each_once():
    entry = queue.Entry("smoke", ("score-timing", "pruning-fractions"), "small")
    every = [run for name in entry.chapters for run in chapters.wanted(name, settings_of("smoke", name))]
    found = [runs.key(run) for run in entry.wanted()]
    assert found == list(dict.fromkeys(map(runs.key, every))) and len(found) < len(every)  # the chapters share runs


def test_an_entry_of_a_chapter_that_its_profile_lacks_is_an_error(monkeypatch, tmp_path):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "queue.yml").write_text("- {profile: gpu, chapters: [weak-pool], for: nothing}\n")
    monkeypatch.setattr(queue.paths, "root", lambda: tmp_path)
    monkeypatch.setattr(queue, "has", lambda profile, name: False)
    with pytest.raises(InputError, match="'gpu' has no file for weak-pool"):
        queue.entries()


def test_the_bill_counts_a_run_once_and_leaves_out_what_is_stored(monkeypatch):
    entry = queue.Entry("smoke", ("score-timing",), "first")
    more = queue.Entry("smoke", ("score-timing", "pruning-fractions"), "second")
    monkeypatch.setattr(queue, "entries", lambda: [entry, more])
    wanted = entry.wanted()
    monkeypatch.setattr(runs, "missing", lambda configs: [run for run in configs if runs.key(run) != runs.key(wanted[0])])
    monkeypatch.setattr("datadiet.runs.bill.counts", lambda run: {"updates": 7})
    found = queue.bill()
    assert found["runs"].tolist() == [len(wanted), len(more.wanted()) - len(wanted)]
    assert found["stored"].tolist() == [1, 0]
    assert found["updates"].tolist() == [7 * (len(wanted) - 1), 7 * (len(more.wanted()) - len(wanted))]


def test_minutes_are_at_the_rate_of_the_runs_that_a_gpu_made(monkeypatch):
    def row(device, started, seconds, updates):
        return {"config": {"device": device}, "metrics": {"updates": updates},
                "provenance": {"started": f"2026-01-01T00:00:{started:02d}+00:00", "seconds": seconds}}

    rows = {"a": row("cuda", 0, 20.0, 300), "b": row("cuda", 10, 30.0, 100), "c": row("cpu", 0, 1.0, 10**6)}
    monkeypatch.setattr(runs.store, "published", lambda: rows)
    assert queue.rate() == pytest.approx(400 / 40)  # from the first start to the last end, both workers together
    monkeypatch.setattr(runs.store, "published", lambda: {"c": rows["c"]})
    assert math.isnan(queue.rate())


def test_the_published_bill_is_that_of_the_entries():
    found = queue.published_bill()
    assert list(found["for"]) == [entry.purpose for entry in queue.entries()]
    seen, counts = set(), []
    for entry in queue.entries():
        mine = {runs.key(run) for run in entry.wanted()} - seen
        seen |= mine
        counts.append(len(mine))
    assert found["runs"].tolist() == counts  # written again where a profile of the queue changes: datadiet plan --queue --publish


@pytest.mark.parametrize("command, said", [
    (["plan", "--publish"], "--publish goes with --queue"),
    (["plan", "--queue", "score-timing"], "leave out score-timing"),
    (["sweep", "--queue", "-p", "seeds", "2"], "leave out -p seeds"),
])
def test_the_queue_stands_alone(command, said):
    found = CliRunner().invoke(cli.main, command)
    assert found.exit_code == 2 and said in found.output


def test_a_queued_sweep_asks_for_the_entries_in_order(monkeypatch):
    entry = queue.Entry("smoke", ("score-timing",), "first")
    monkeypatch.setattr(queue, "entries", lambda: [entry])
    asked = []
    monkeypatch.setattr(runs, "sweep", lambda wanted, engine: asked.append((wanted, engine)) or runs.published([]))
    found = CliRunner().invoke(cli.main, ["sweep", "--queue", "--engine", "stored"])
    assert found.exit_code == 0, found.output
    assert asked == [(entry.wanted(), "stored")] and paths.root().is_dir()
