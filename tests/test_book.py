"""Every chapter executes by plain papermill; the build executes what changed, renders with warnings as errors, and checks."""

import dis
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import CHAPTERS, ROOT
from small import partial_profiles

from datadiet.book import build, gate, render
from datadiet.chapters.settings import has, profiles, settings_of
from datadiet.errors import InputError

HEAD = "---\njupytext:\n  text_representation:\n    extension: .md\n    format_name: myst\nkernelspec:\n  name: python3\n" \
       "  display_name: Python 3\n  language: python\n---\n\n"
FIGURE = HEAD + '''# A figure, see [](plain.md)

```{code-cell} ipython3
:tags: [parameters]
seeds = 7   # of all things, the only parameter; None = all
```

```{code-cell} ipython3
---
mystnb:
  figure:
    name: fig-one
    caption: A line.
  image:
    alt: A line that rises from left to right.
---
import matplotlib.pyplot as plt
print("seeds", seeds)
plt.plot([0, seeds]);
```
'''


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A book of two pages in a folder of its own: a figure, and plain text that links to it."""
    for name in ("claims.yml", "references.bib", "_config.yml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("profiles", "_static", "_ext"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "plain.md").write_text("# Plain\n\nText with $x^2$ and a link to [the figure](figure.md).\n")
    (tmp_path / "chapters" / "figure.md").write_text(FIGURE)
    (tmp_path / "profiles" / "smoke" / "figure.yml").write_text("seeds: 2\n")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: chapters/plain\nchapters:\n  - file: chapters/figure\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", CHAPTERS)
def test_chapter_executes_by_plain_papermill(page, executed):
    assert gate.problems(executed(page)) == []
    assert "Passed unknown parameter" not in executed.said[page]


@pytest.mark.parametrize("page", CHAPTERS)
def test_parameters_of_a_chapter_are_its_parameter_files(page):
    """The cell is the standard profile's file but for the engine, and every profile's file sets the same names."""
    source, name = build.jupytext.read(ROOT / f"{page}.md"), Path(page).name
    cells = [cell.source for cell in source.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(cells) <= 1
    values: dict = {}
    exec("\n".join(cells), values)
    declared = {each: values[each] for each in build.declared_parameters(source)}
    files = {profile: settings_of(profile, name) for profile in profiles() if has(profile, name)}
    assert all(set(settings) == set(declared) for settings in files.values())
    if "profile" in declared:  # an experiment; other chapters choose what suits their page
        assert set(files) | partial_profiles() == set(profiles())
        assert all(settings["profile"] == profile for profile, settings in files.items())
        assert declared == files["standard"] | {"engine": "stored"}


@pytest.mark.parametrize("page", CHAPTERS)
def test_no_parameter_is_set_anew_before_the_settings_are_read(page):
    """A loop over `every` in a cell above would run the page with the last value of the loop, whatever papermill was told."""
    code = [cell for cell in build.jupytext.read(ROOT / f"{page}.md").cells if cell.cell_type == "code"]
    read = [place for place, cell in enumerate(code) if "globals()" in cell.source]
    names = {name for cell in code if "parameters" in cell.metadata.get("tags", []) for name in stored(cell.source)}
    above = [cell for cell in code[: max(read, default=0)] if "parameters" not in cell.metadata.get("tags", [])]
    assert not names & {name for cell in above for name in stored(cell.source)}


def stored(source: str) -> set[str]:
    """Names that a cell sets as globals: targets of its statements and loops, not those inside its functions."""
    return {each.argval for each in dis.get_instructions(compile(source, "cell", "exec")) if each.opname == "STORE_NAME"}


def test_every_page_is_in_the_table_of_contents():
    assert {f"chapters/{path.stem}" for path in (ROOT / "chapters").glob("*.md")} == set(render.pages(ROOT))


def test_build_executes_renders_and_checks_then_does_nothing_until_something_changes(small, capsys):
    first = build.build("smoke")
    assert first == small / "_build" / "html" / "index.html" and first.is_file()
    assert "seeds 2" in (small / "_build" / "html" / "chapters" / "figure.html").read_text()  # the profile's, not the chapter's
    output = small / "_build" / "executed" / "chapters" / "figure.ipynb"
    before = output.stat().st_mtime_ns
    capsys.readouterr()

    build.build("smoke")
    assert "chapters/figure: unchanged" in (out := capsys.readouterr().out) and "pages: unchanged" in out
    assert output.stat().st_mtime_ns == before

    page = small / "_build" / "html" / "chapters" / "plain.html"
    page.write_text("somebody else was here")
    build.build("smoke")
    assert output.stat().st_mtime_ns == before and "Plain" in page.read_text()

    (small / "chapters" / "figure.md").write_text(FIGURE.replace("[0, seeds]", "[1, seeds]"))
    build.build("smoke")
    assert output.stat().st_mtime_ns > before

    (small / "profiles" / "smoke" / "figure.yml").write_text("seeds: 3\n")
    build.build("smoke")
    assert "seeds 3" in (small / "_build" / "html" / "chapters" / "figure.html").read_text()


@pytest.mark.parametrize("broken, said", [
    (FIGURE.replace("plt.plot", "1 / 0; plt.plot"), "code cell 3 raised ZeroDivisionError"),
    (FIGURE.replace("plt.plot", "import warnings; warnings.warn('odd'); plt.plot"), "wrote to stderr.*odd"),
    (FIGURE.replace("plain.md", "plane.md"), "plane.md"),
    (FIGURE.replace("plt.plot([0, seeds]);", ""), "no figure fig-one"),
    (FIGURE.replace("    alt: A line that rises from left to right.\n", "    width: 300px\n"), "fig-one has no text alternative"),
])
def test_a_broken_page_fails_the_build_and_is_named(small, broken, said):
    (small / "chapters" / "figure.md").write_text(broken)
    with pytest.raises(InputError, match=said):
        build.build("smoke")
    assert not (small / "_build" / "executed" / "chapters" / "figure.sha256").exists() or "raised" not in said


def test_a_failing_chapter_does_not_stop_the_others(small):
    (small / "chapters" / "broken.md").write_text(FIGURE.replace("plt.plot", "1 / 0; plt.plot"))
    (small / "_toc.yml").write_text("format: jb-book\nroot: chapters/plain\nchapters:\n  - file: chapters/broken\n"
                                    "  - file: chapters/figure\n")
    assert list(build.execute_all(small, small / "_build", "smoke")) == ["chapters/broken"]
    assert (small / "_build" / "executed" / "chapters" / "figure.sha256").is_file()


def test_a_page_without_a_file_is_named(small):
    (small / "chapters" / "figure.md").unlink()
    with pytest.raises(InputError, match="chapters/figure"):
        build.build("smoke")
    assert not (small / "_build").exists()


def test_a_page_shows_its_parameters_once():
    def cell(source, *tags):
        return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})

    def cells():
        return [cell("seeds = 5        # one run each\nword = 'a  # b'", "parameters", "hide-input"),
                cell('# Parameters\nseeds = 3\nword = "# c"', "injected-parameters", "hide-input"), cell("draw();")]

    settings, other = render.parameters_once(cells())
    assert settings.source == "seeds = 3  # one run each\nword = \"# c\"" and other.source == "draw();"
    as_they_stand = [each for each in cells() if "injected-parameters" not in each.metadata.tags]
    assert render.parameters_once([each.copy() for each in as_they_stand]) == as_they_stand


def test_check_finds_a_missing_page_and_a_missing_image(small):
    build.build("smoke")
    images = list((small / "_build" / "html" / "_images").glob("*.png"))
    images[0].unlink()
    assert "the file of figure fig-one is missing" in "\n".join(render.check(small, small / "_build"))
    (small / "_build" / "html" / "chapters" / "figure.html").unlink()
    assert render.check(small, small / "_build") == ["chapters/figure.html is missing"]


@pytest.mark.parametrize("text, is_bar", [
    ("\rruns:   0%|          | 0/12 [00:00<?, ?run/s]\r        \r", True),
    ("", True),
    ("UserWarning: 100% wrong", False),
    ("\r 10%|# | 1/10\nUserWarning: odd", False),
])
def test_progress_bars_are_told_from_warnings(text, is_bar):
    assert gate.is_progress(text) is is_bar


def test_prints_that_follow_each_other_are_one_output():
    def said(text, name="stdout"):
        return nbformat.v4.new_output("stream", name=name, text=text)

    shown = nbformat.v4.new_output("display_data", {"text/plain": "x"})
    found = build.joined([said("a\n"), said("b\n"), said("c", "stderr"), said("d"), shown, shown, said("e"), said("f")])
    assert [each.get("text") for each in found] == ["a\nb\n", "c", "d", None, None, "ef"]


def test_problems_sees_order_errors_and_stderr():
    cell = nbformat.v4.new_code_cell
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[])
    noise = nbformat.v4.new_output("stream", name="stderr", text="careful")
    notebook = nbformat.v4.new_notebook(cells=[cell("1", execution_count=1), cell("2", execution_count=3, outputs=[error]),
                                               cell(""), cell("3", execution_count=None, outputs=[noise])])
    found = "\n".join(gate.problems(notebook))
    for said in ("cell 2 has the execution count 3", "ValueError: no", "cell 3 has the execution count None", "careful"):
        assert said in found


def test_run_executes_one_chapter_with_changed_parameters(small):
    out = build.run("figure", {"seeds": 5}, "smoke", small / "out.ipynb")
    text = Path(out).read_text()
    assert "seeds 5" in text
    assert "seeds 7" in build.run("figure", {}, None, small / "out.ipynb").read_text()
    with pytest.raises(InputError, match="Did you mean 'seeds'"):
        build.run("figure", {"sees": 5})
    with pytest.raises(InputError, match="Did you mean 'figure'"):
        build.run("figur", {})
    with pytest.raises(InputError, match="unknown profile"):
        build.run("figure", {}, "smok")


@pytest.mark.timeout(3000)  # it executes every page, one after another
def test_jupyter_book_builds_the_repository_itself(tmp_path, alone):
    (ROOT / ".pytest_cache").mkdir(exist_ok=True)  # whatever tools leave there is no page
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(ROOT), "--path-output",
               str(tmp_path), "-n", "-W", "--keep-going"]
    ran = subprocess.run(command, env=alone | {"PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "")}, capture_output=True,
                         text=True)
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-4000:]
    for page in render.pages(ROOT):
        assert (tmp_path / "_build" / "html" / f"{page}.html").is_file()
