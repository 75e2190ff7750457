"""The book's own directives: quizzes, drawings of experiments, and exercises with executed solutions in a fold."""

import contextlib
import io

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import docutils_namespace, patch_docutils

HEAD = "---\njupytext:\n  text_representation:\n    extension: .md\n    format_name: myst\n" \
       "kernelspec:\n  name: python3\n  display_name: Python 3\n---\n\n# Page\n\n"
QUIZ = """```{quiz}
- question: Which end of $p - y$ is `hard` & <script>alert(1)</script>?
  answers:
    - text: "No"
      because: 0.5
    - text: Yes
      right: true
      because: "the *large* end </fieldset>."
- question: And here?
  answers:
    - {text: A, right: true, because: so}
    - {text: B, because: not so}
    - {text: C, because: never}
```
"""
PIPELINE = """```{pipeline}
data | 5,452 <i>questions</i>
score | EL2N | here
compare

Train, <b>score</b>
and compare.
```
"""
EXERCISE = """```{exercise-start} Count
:label: ex-page-1
:class: warm-up
```

How much is one and two?

```{code-cell} ipython3
:tags: [exercise]
answer = ...
```

```{exercise-end}
```

```{solution-start} ex-page-1
:class: dropdown
```

In a cell:

```{code-cell} ipython3
:tags: [solution]
print("executed", 1 + 2)
```

```{solution-end}
```
"""


@pytest.fixture
def page(tmp_path):
    """A function: Markdown -> the article of the page that sphinx makes of it, warnings being errors."""

    def built(text: str, execute: str = "off") -> BeautifulSoup:
        source = tmp_path / "source"
        source.mkdir()
        (source / "index.md").write_text(HEAD + text)
        (source / "conf.py").write_text(
            f"import sys\nsys.path.insert(0, {str(ROOT / '_ext')!r})\n"
            "extensions = ['myst_nb', 'sphinx_togglebutton', 'sphinx_exercise', 'quiz', 'pipeline', 'folds', 'entries',\n"
            "              'calls', 'accessible', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']\n"
            f"myst_enable_extensions = ['dollarmath', 'colon_fence']\nnb_execution_mode = {execute!r}\n")
        said = io.StringIO()
        with contextlib.redirect_stderr(said), patch_docutils(), docutils_namespace():
            app = Sphinx(source, source, tmp_path / "html", tmp_path / "trees", "html", status=None, warning=said, freshenv=True)
            app.build()
        assert "WARNING" not in said.getvalue().replace("[IPKernelApp] WARNING", ""), said.getvalue()
        return BeautifulSoup((tmp_path / "html" / "index.html").read_text(), "html.parser").find("div", class_="body")

    return built


def test_a_quiz_has_a_button_an_answer_and_its_feedback_beside_it(page):
    quiz = page(QUIZ).find("div", class_="dd-quiz")
    asked = quiz.find_all("fieldset")
    assert [len(each.find_all("input", type="radio")) for each in asked] == [2, 3]
    names = [{button["name"] for button in each.find_all("input")} for each in asked]
    assert [len(each) for each in names] == [1, 1] and names[0] != names[1]
    for each in asked:  # a fold a question, whose line names the group of buttons
        fold = each.parent
        assert fold.name == "details" and not fold.has_attr("open")
        assert fold.find("summary", recursive=False)["id"] == each["aria-labelledby"]
    buttons = quiz.find_all("input")
    assert len({button["id"] for button in buttons}) == 5
    for button in buttons:
        answer = button.parent
        assert answer.find("label")["for"] == button["id"]
        assert answer.find(class_="dd-because").text.startswith("Right. " if "dd-right" in answer["class"] else "No. ")
    assert [button.parent.find("label").text for button in buttons] == ["No", "Yes", "A", "B", "C"]  # texts, no booleans
    assert len(quiz.find_all(class_="dd-right")) == 2
    assert [line.text for line in quiz.select(".dd-key li")] == ["Yes: the large end </fieldset>.", "A: so"]


def test_markdown_of_a_quiz_is_shown_and_its_html_is_text(page):
    quiz = page(QUIZ).find("div", class_="dd-quiz")
    line = quiz.find("summary")
    assert line.find("code").text == "hard" and line.find(class_="math") and quiz.find("em").text == "large"
    assert not quiz.find("script") and "<script>alert(1)</script>" in line.text


@pytest.mark.parametrize("old, new, said", [
    ("      right: true\n", "", "question 1 has 0 right answers"),
    ("{text: B,", "{text: B, right: true,", "question 2 has 2 right answers"),
    ("{text: B,", "{text: B, right: maybe,", "answer 2 of question 2 has right: 'maybe'"),
    ("{text: B,", "{text: B, wrong: true,", "answer 2 of question 2 has the key wrong"),
    ("because: not so", "because: ''", "answer 2 of question 2 has the because ''"),
    ("question: And here?", "question: And: here?", "the body is not YAML"),
    ("    - {text: B, because: not so}\n    - {text: C, because: never}\n", "", "question 2 has no list of two answers"),
    (QUIZ[len("```{quiz}\n"):-len("```\n")], "text\n", "the body is not a list of questions"),
])
def test_a_quiz_that_cannot_be_shown_stops_the_build(page, old, new, said):
    assert old in QUIZ
    with pytest.raises(ExtensionError, match=f"quiz: in index, line .*{said}"):
        page(QUIZ.replace(old, new))


def test_a_drawing_is_a_list_in_order_with_its_sentence(page):
    figure = page(PIPELINE).find("figure", class_="dd-pipeline")
    assert [each.find("strong").text for each in figure.find_all("li")] == ["data", "score", "compare"]
    assert [each.find("strong").text for each in figure.find_all("li", class_="dd-here")] == ["score"]
    assert figure.find("li").find("span").text == "5,452 <i>questions</i>" and len(figure.find_all("span")) == 2
    assert figure.find("figcaption").text == "Train, <b>score</b> and compare."


@pytest.mark.parametrize("body, said", [
    ("data\n\nSaid.", "there are 1 boxes"),
    ("data\n| x\n\nSaid.", "the box ' | x' cannot"),
    ("data\na | b | there\n\nSaid.", "the box 'a | b | there' cannot"),
    ("data\nscore", "no sentence follows"),
])
def test_a_drawing_that_cannot_be_read_stops_the_build(page, body, said):
    with pytest.raises(ExtensionError) as raised:
        page(f"```{{pipeline}}\n{body}\n```\n")
    assert said in str(raised.value)


def test_an_exercise_is_a_closed_fold_and_its_executed_solution_another_within(page, tmp_path):
    body = page(EXERCISE + "Behind it, {ref}`ex-page-1`.\n", execute="force")
    exercise = body.find("details", class_="exercise")
    line, solution = exercise.find("summary", recursive=False), exercise.find("details", class_="solution", recursive=False)
    assert exercise["id"] == "ex-page-1" and not exercise.has_attr("open") and not solution.has_attr("open")
    assert line.text.split() == ["Exercise", "1", "(Count)", "warm-up"] and line.find("span", class_="dd-level").text == "warm-up"
    assert solution.find("summary").text == "Solution" and not exercise.select("summary a, summary p")
    assert "executed 3" in solution.text
    solution.extract()
    assert "How much is one and two?" in exercise.text and "answer" in exercise.text and "executed 3" not in exercise.text
    assert exercise.find_next_sibling("p").text == "Behind it, Exercise 1." and body.find("a", href="#ex-page-1")
    index = (tmp_path / "html" / "searchindex.js").read_text()
    assert '"much"' in index and '"execut"' in index  # text of exercise and solution, stems of its words


@pytest.mark.parametrize("old, new, said", [
    (":class: warm-up\n", "", r"the exercise ex-page-1 in index has the levels \[\]"),
    (":class: warm-up\n", ":class: core open\n", r"has the levels \['core', 'open'\]"),
    (EXERCISE[:EXERCISE.index("```{solution-start}")], "", "is not in the page of ex-page-1"),
])
def test_an_exercise_that_cannot_be_a_fold_stops_the_build(page, old, new, said):
    assert old in EXERCISE
    with pytest.raises(ExtensionError, match=f"folds: .*{said}"):
        page(EXERCISE.replace(old, new))


def test_an_id_stands_once_in_a_page_of_several_exercises(page):
    body = page(EXERCISE + EXERCISE.replace("ex-page-1", "ex-page-2"), execute="force")
    ids = [each["id"] for each in body.find_all(id=True)]
    assert len(body.find_all("details", class_="exercise")) == 2 and sorted(set(ids)) == sorted(ids)


def test_code_that_only_calls_for_a_figure_is_marked(page):
    cells = {"import types\nviews, pages = [], types.SimpleNamespace(verdict=len, SHOWN=1)\n"
             "chapter = types.SimpleNamespace(figures=types.SimpleNamespace(gains=len), runs=pages)": False,
             "chapter.figures.gains(views)": True,
             "pages.verdict(views)": True,
             "chapter.runs.verdict(views)": False,
             "found = pages.verdict(views)": False,
             "print(found)\nchapter.figures.gains(views)": False,
             "pages.SHOWN": False}  # fmt: skip
    body = page("\n".join(f"```{{code-cell}} ipython3\n{code}\n```\n" for code in cells), execute="force")
    assert ["dd-call" in each["class"] for each in body.select("div.cell_input")] == list(cells.values())


def test_entries_of_a_bibliography_are_items_of_their_list(page):
    body = page("```{eval-rst}\n.. [ONE] Paul.\n.. [TWO] Kirsch.\n\nBy [ONE]_ and [TWO]_.\n```\n")
    entries = body.find_all(class_="citation")
    assert [each["role"] for each in entries] == ["listitem"] * 2 and all(each.parent["role"] == "list" for each in entries)


def test_an_entry_of_the_reference_is_a_fold_that_holds_its_address(page):
    """So a link to it opens the fold; the methods of a class are within its own."""
    entries = ".. autofunction:: datadiet.scores.el2n\n\n.. autoclass:: datadiet.dynamic.Dynamic\n   :members: due"
    article = page(f"```{{eval-rst}}\n{entries}\n```\n")
    folds = article.find_all("details")
    assert [fold.find("summary").find("code").text for fold in folds] == ["el2n", "Dynamic"]
    assert folds[0].find("summary").text.startswith("el2n EL2N, the length of the error vector")
    assert folds[0].find(id="datadiet.scores.el2n") and folds[1].find(id="datadiet.dynamic.Dynamic.due")
    assert not any(fold.has_attr("open") or "dd-work" not in fold["class"] for fold in folds)
