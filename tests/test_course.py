"""The course: students' notebooks hold no solution, instructors' hold all, slides need no network, no folder is overwritten."""

import base64
import itertools
import json
import re
import shutil

import jupytext
import nbformat
import pytest
from click.testing import CliRunner
from conftest import ROOT

from datadiet import cli
from datadiet.chapters import NAMES
from datadiet.chapters.answers import Said
from datadiet.course import blocks, check, keys, write
from datadiet.course.notebooks import written
from datadiet.course.plain import Plain
from datadiet.course.slides import slides
from datadiet.errors import InputError

COURSE = write.chapters_of(ROOT)
KNOWN = {page.partition("/")[2] for page in COURSE}
FENCE = "```"
GATED = f"""\
# A chapter

{FENCE}{{code-cell}} ipython3
:tags: [parameters, hide-input]
engine = "stored"
{FENCE}

{FENCE}{{admonition}} Before you look
:class: important
Which is it?
{FENCE}

{FENCE}{{code-cell}} ipython3
print("figure")
{FENCE}

**Answer.** It is the secret one, see {{cite:t}}`paul2021deep`.

## Exercises

{FENCE}{{exercise-start}} Count them
:label: ex-note-1
:class: warm-up
{FENCE}
How many are kept?

{FENCE}{{code-cell}} ipython3
:tags: [exercise]
kept = ...
{FENCE}

{FENCE}{{exercise-end}}
{FENCE}

{FENCE}{{solution-start}} ex-note-1
:class: dropdown
{FENCE}
It is the SECRET number.

{FENCE}{{code-cell}} ipython3
:tags: [solution]
kept = 4711
{FENCE}

SECRET words after the code.

{FENCE}{{solution-end}}
{FENCE}

{FENCE}{{exercise-start}} Say why
:label: ex-note-2
:class: open
{FENCE}
In words.
{FENCE}{{exercise-end}}
{FENCE}

{FENCE}{{solution}} ex-note-2
SECRET reason.
{FENCE}

## Quiz

{FENCE}{{quiz}}
- question: Of what is $N$ the number?
  answers:
    - text: of examples
      right: true
      because: SECRET because
    - text: of classes
      because: SECRET too
{FENCE}

## How to run it again

{FENCE}{{code-cell}} ipython3
print("again")
{FENCE}
"""
OLD = f"""\
# A chapter without gates

## Exercises

{FENCE}{{admonition}} Exercise 1
:class: note
Count.
{FENCE}

{FENCE}{{code-cell}} ipython3
secret = 4711
{FENCE}

{FENCE}{{admonition}} Exercise 2
:class: note
Think.
{FENCE}

{FENCE}{{admonition}} Solution 2
:class: dropdown
The SECRET.
{FENCE}

{FENCE}{{code-cell}} ipython3
secret += 1
{FENCE}

{FENCE}{{admonition}} Run this page again
:class: seealso
It needs nothing.
{FENCE}

{FENCE}{{code-cell}} ipython3
print("again")
{FENCE}
"""


def of(text, solved, **more):
    return written(jupytext.reads(text, "md:myst"), Plain(ROOT, KNOWN, text), solved, **more)


def words(notebook) -> str:
    return "\n".join(cell.source for cell in notebook.cells)


def notebook_of(page):
    return jupytext.read(ROOT / f"{page}.md")


def student(page):
    source = ROOT / f"{page}.md"
    return written(jupytext.read(source), Plain(ROOT, KNOWN, source.read_text()), False)


def test_every_chapter_that_asks_for_runs_is_in_the_course():
    assert {f"chapters/{name}" for name in NAMES} - set(COURSE) == set()


def test_the_first_page_leads_readers_with_their_own_data_to_their_chapter():
    assert "](my-csv.md)" in (ROOT / "chapters" / "index.md").read_text()


# --- Students' and instructors' copies


@pytest.mark.parametrize("text", [GATED, OLD])
def test_a_student_sees_no_solution_and_an_instructor_all(text):
    mine, theirs = words(of(text, False)), words(of(text, True))
    assert not re.search("secret|4711", mine, re.I) and mine.count("answer = ...") == (1 if text is GATED else 2)
    secrets = re.findall("SECRET [a-z]+|4711|secret \\+= 1", text)
    assert secrets and all(each in theirs for each in secrets)
    assert 'print("again")' in mine and 'print("again")' in theirs


def test_a_stub_stays_where_it_stood_and_papermill_finds_its_parameters():
    found = of(GATED, False)
    tagged = {tag: cell.source for cell in found.cells for tag in cell.metadata.get("tags", [])}
    assert tagged["parameters"] == 'engine = "stored"' and "kept = ..." in words(found)
    assert "### Exercise: Count them (warm-up)" in words(found) and "write your answer here" in words(found)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in found.cells)
    nbformat.validate(found)


def test_the_same_chapter_gives_the_same_notebook():
    assert nbformat.writes(of(GATED, True)) == nbformat.writes(of(GATED, True))


def solutions(page) -> list[str]:
    """Lines that only a solution has, found in the text of a chapter by its gates alone, or by its place."""
    text, lines = (ROOT / f"{page}.md").read_text(), []
    gated = re.findall(r"^```+\{solution-start\}.*?^```+\{solution-end\}", text, re.M | re.S)
    gated += re.findall(r"^```+\{admonition\} Solution.*?^```+$", text, re.M | re.S)
    gated += [
        body
        for tags, body in re.findall(r"^```\{code-cell\}[^\n]*\n:tags: \[([^\]]*)\]\n(.*?)^```$", text, re.M | re.S)
        if "solution" in tags
    ]
    if "{exercise-start}" not in text:
        section = re.search(r"^## Exercises$(.*?)(?=^`+\{admonition\} Run this page again|^## |\Z)", text, re.M | re.S)[1]
        gated += re.findall(r"^```\{code-cell\}.*?^```$", section, re.M | re.S)
    outside = text
    for each in gated:
        lines += [line.strip() for line in each.splitlines() if not line.startswith((FENCE, ":"))]
        outside = outside.replace(each, "")
    return [line for line in lines if len(line) > 25 and line not in outside]


@pytest.mark.parametrize("page", COURSE)
def test_no_line_of_a_solution_is_in_the_student_s_copy_of_any_chapter(page):
    found, mine = solutions(page), words(student(page))
    assert found, "the chapter has exercises, and no solution was found"
    assert [line for line in found if line in mine] == []
    assert "because:" not in mine and "right: true" not in mine


@pytest.mark.parametrize("page", COURSE)
def test_every_exercise_of_a_chapter_has_a_blank(page):
    found = blocks.blocks(notebook_of(page))
    asked = [
        block
        for block in found
        if block.name in ("exercise-start", "exercise") or block.name == "admonition" and block.within == "exercise"
    ]
    blanks = [cell for cell in student(page).cells if "exercise" in cell.metadata.get("tags", [])]
    assert len(asked) and len(blanks) >= len(asked)


@pytest.mark.parametrize("page", COURSE)
def test_no_exercise_is_named_by_a_number(page):
    """Exercises are counted through the whole book: a number typed in a page is that of another exercise."""
    assert re.findall(r"\b[Ee]xercise \d+", (ROOT / f"{page}.md").read_text()) == []


@pytest.mark.parametrize("page", COURSE)
def test_code_outside_of_solutions_stays_in_every_student_s_copy(page):
    kept = [block.text for block in blocks.blocks(notebook_of(page)) if block.kind == "code" and block.within != "solution"]
    there = [cell.source for cell in student(page).cells if cell.cell_type == "code"]
    assert [text for text in kept if text not in there] == []


def test_no_directive_or_role_is_left_in_a_notebook():
    for page in COURSE:
        text = "\n".join(cell.source for cell in student(page).cells if cell.cell_type == "markdown")
        assert re.findall(r"^`{3,}\{.*|\{(?:cite|term|eq|ref|numref|func)[:\w]*\}`", text, re.M) == [], page


@pytest.mark.parametrize("broken, said", [
    (GATED.replace(f"{FENCE}{{solution-end}}\n{FENCE}", ""), "within a solution"),
    (GATED.replace(f"{FENCE}{{exercise-end}}\n{FENCE}\n\n{FENCE}{{solution}}", f"{FENCE}{{solution}}"), "never closed"),
    (GATED.replace(f"{FENCE}{{exercise-start}} Count them\n:label: ex-note-1\n:class: warm-up\n{FENCE}\n", ""), "its start"),
    (GATED + f"\n{FENCE}{{note}}\nhalf\n", "not closed"),
])  # fmt: skip
def test_a_gate_that_is_not_closed_is_refused_for_it_could_leak(broken, said):
    assert broken != GATED
    with pytest.raises(InputError, match=said):
        of(broken, False)


# --- MyST as plain Markdown


def plain(text):
    return Plain(ROOT, {"scores"}, text).text(text)


def test_references_become_words():
    assert plain("{cite}`paul2021deep,fayyaz2022bert`") == "(Paul et al., 2021; Fayyaz et al., 2022)"
    assert plain("{cite:t}`kirsch2023does` says") == "Kirsch (2023) says"
    assert plain("{term}`higher for harder <hardest>` and {term}`margin`") == "higher for harder and margin"
    assert plain("[a](scores.md) [b](claims.md#x) [c](https://x.org/y.md)") == "[a](scores.ipynb) b [c](https://x.org/y.md)"
    assert plain("`[a](b.md)` and `{term}`") == "`[a](b.md)` and `{term}`"
    assert plain("$$\nx\n$$ (eq-a)\n\nby {eq}`eq-a`") == "$$\nx\n\\tag{1}\n$$\n\nby (1)"


def test_tables_and_quotes():
    text = f"{FENCE}{{list-table}} Title\n:header-rows: 1\n\n* - a\n  - b\n* - 1 | 2\n  - two\n    lines\n{FENCE}\n"
    table = Plain(ROOT, set(), text).block(next(blocks.parsed(text)))
    assert table == "**Title**\n\n| a | b |\n| --- | --- |\n| 1 \\| 2 | two lines |"
    text = f"````{{admonition}} Know\n:class: tip\n- one\n\n{FENCE}bash\nls\n{FENCE}\n````"
    assert Plain(ROOT, set(), text).block(next(blocks.parsed(text))).splitlines() == [
        "> **Know**",
        ">",
        "> - one",
        ">",
        f"> {FENCE}bash",
        "> ls",
        f"> {FENCE}",
    ]


# --- Slides


def executed(text):
    """The notebook of a text as if it had been executed: its print gave a picture."""
    notebook = jupytext.reads(text, "md:myst")
    picture = base64.b64encode(b"picture").decode()
    for count, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), start=1):
        output = nbformat.v4.new_output("display_data", {"image/png": picture}) if "figure" in cell.source else None
        cell.execution_count, cell.outputs = count, [output] if output else []
    return notebook


def test_slides_show_question_figure_answer_exercises_and_quiz_with_notes():
    page = slides(executed(GATED), Plain(ROOT, KNOWN, GATED))
    heads = re.findall(r"<section.*?<h[12]>(.*?)</h[12]>", page, re.S)
    assert heads == [
        "A chapter",
        "A chapter",
        "A chapter",
        "A chapter",
        "Exercise: Count them",
        "Exercise: Say why",
        "Quiz 1",
    ]
    assert "data:image/png;base64," in page and '<div class="step">' in page and "SECRET" in page.split("aside", 1)[1]
    outside = re.findall(
        r"""(?:src|href)=["'](?!data:|#)([^"']+)|url\((?!data:)|@import""", re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    )
    assert outside == []


def test_a_deck_holds_mathjax_only_where_it_has_a_formula():
    with_formula = slides(executed(GATED), Plain(ROOT, KNOWN, GATED))
    without = slides(executed(GATED.replace("$N$", "N")), Plain(ROOT, KNOWN, GATED))
    assert "MathJax" in with_formula and "MathJax" not in without and len(without) < 40_000


def test_slides_are_shown_by_keyboard_with_formulas_notes_and_no_request(tmp_path):
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    (tmp_path / "deck.html").write_text(slides(executed(GATED), Plain(ROOT, KNOWN, GATED)))
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        driver.get((tmp_path / "deck.html").as_uri())
        body = driver.find_element("tag name", "body")
        head = "return document.querySelector('section.here h1, section.here h2').textContent"
        seen = [driver.execute_script(head)]
        for _ in range(7):  # one key more than there are slides to go: the answer is a step of its own
            body.send_keys(Keys.ARROW_RIGHT)
            seen.append(driver.execute_script(head))
        assert seen[0] == "A chapter" and "Exercise: Count them" in seen and seen[-1] == "Quiz 1"
        WebDriverWait(driver, 30).until(lambda page: page.find_elements("css selector", "section.here mjx-container svg"))
        right = driver.find_element("css selector", "section.here .step")
        assert not right.is_displayed()
        body.send_keys(" ")
        assert right.is_displayed() and right.text.startswith("(a)")
        body.send_keys("n")
        assert "SECRET because" in driver.find_element("css selector", "section.here aside.notes").text
        body.send_keys(Keys.HOME)
        assert driver.execute_script(head) == "A chapter" and driver.current_url.endswith("#1")
        outside = driver.execute_script("return performance.getEntriesByType('resource').map(each => each.name)")
        assert [each for each in outside if not each.startswith("data:")] == [] and driver.get_log("browser") == []
    finally:
        driver.quit()


# --- The command


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A clone with a single chapter, which is executed in a second."""
    root = tmp_path / "clone"
    (root / "chapters").mkdir(parents=True)
    for name in ("_config.yml", "references.bib", "claims.yml"):
        shutil.copy(ROOT / name, root)
    (root / "profiles").mkdir()
    (root / "_toc.yml").write_text("format: jb-book\nroot: chapters/index\nchapters:\n  - file: chapters/note\n")
    (root / "chapters" / "index.md").write_text("# Start\n")
    head = "---\nkernelspec:\n  name: python3\n  display_name: Python 3\n"
    head += "jupytext:\n  text_representation:\n    extension: .md\n    format_name: myst\n---\n"
    (root / "chapters" / "note.md").write_text(head + GATED)
    monkeypatch.chdir(root)
    return root


def run(*arguments):
    return CliRunner().invoke(cli.main, ["course", *map(str, arguments)])


def test_course_writes_all_folders_and_refuses_a_folder_that_exists(small, tmp_path):
    out = tmp_path / "out"
    first = run(out)
    assert first.exit_code == 0, first.output
    assert "chapters/note: " in first.output and "1 in student/, 1 in slides/, 1 in instructor/" in first.output
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*")) == [
        "README.md",
        "instructor/note.ipynb",
        "slides/note.html",
        "student/note.ipynb",
    ]
    done = nbformat.read(out / "instructor" / "note.ipynb", 4)
    assert [cell.outputs[0].text for cell in done.cells if cell.get("outputs")] == ["figure\n", "again\n"]
    (out / "student" / "note.ipynb").write_text("of a student")
    (out / "own.txt").write_text("kept")
    again = run(out)
    assert again.exit_code == 2 and "--force" in again.stderr and (out / "student" / "note.ipynb").read_text() == "of a student"
    forced = run(out, "--force")
    assert forced.exit_code == 0 and "chapters/note: unchanged" in forced.output
    assert "kept" in (out / "own.txt").read_text() and json.loads((out / "student" / "note.ipynb").read_text())["cells"]
    assert not list(itertools.chain(small.glob("*.ipynb"), (small / "chapters").glob("*.ipynb")))


def test_a_chapter_that_raises_leaves_nothing_written(small, tmp_path):
    file = small / "chapters" / "note.md"
    file.write_text(file.read_text().replace('print("figure")', "1 / 0"))
    found = run(tmp_path / "out")
    assert found.exit_code == 2 and "ZeroDivisionError" in found.stderr and not (tmp_path / "out").exists()


def test_a_file_is_never_taken_for_a_folder(small, tmp_path):
    (tmp_path / "out").write_text("mine")
    for options in ([], ["--force"]):
        found = run(tmp_path / "out", *options)
        assert found.exit_code == 2 and "it is a file" in found.stderr and (tmp_path / "out").read_text() == "mine"


def test_the_published_runs_come_with_their_dictionary(monkeypatch, small, tmp_path):
    from datadiet.runs import released

    monkeypatch.setattr(released, "files", lambda: {"runs.csv.gz": b"1", "dictionary.csv": b"2", "index.csv": b"3"})
    assert run(tmp_path / "out").exit_code == 0
    assert (tmp_path / "out" / "data" / "dictionary.csv").read_bytes() == b"2"


# --- Keys


def test_a_check_names_the_exercise_that_it_does_not_know(monkeypatch):
    monkeypatch.setitem(keys.KEYS, "ex-note-1", keys.Key(("kept",), lambda kept: Said(kept == 4711, "so.")))
    assert check("ex-note-1", 4711) and not check("ex-note-1", ...)
    with pytest.raises(InputError, match="Did you mean 'ex-note-1'"):
        check("ex-note-11", 1)
    with pytest.raises(InputError, match="asks for kept"):
        check("ex-note-1", 1, 2)
    text = words(of(GATED, False))
    assert 'check("ex-note-1", kept)' in text and "4711" not in text


def test_every_key_is_of_an_exercise_and_its_names_stand_in_the_stub():
    """Names to fill in stand in the code of the stub; a name that the page gives before may stand in a comment."""
    stubs = {}
    for page in COURSE:
        for block in blocks.blocks(notebook_of(page)):
            if "exercise" in block.tags:
                stubs[block.label] = stubs.get(block.label, "") + block.text
    assert keys.KEYS.keys() <= stubs.keys()
    for label, key in keys.KEYS.items():
        assert re.search(rf"^[^#]*\b{key.names[0]}\b", stubs[label], re.M), label
        assert all(re.search(rf"\b{name}\b", stubs[label]) for name in key.names), label


@pytest.mark.parametrize("label", keys.KEYS)
def test_a_stub_gets_a_sentence(label):
    found = check(label, *[...] * len(keys.KEYS[label].names))
    assert not found and "nothing is filled in" in found.sentence
