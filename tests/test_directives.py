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
            "extensions = ['myst_nb', 'sphinx_togglebutton', 'sphinx_exercise', 'quiz', 'pipeline', 'accessible']\n"
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
    buttons = quiz.find_all("input")
    assert len({button["id"] for button in buttons}) == 5
    for button in buttons:
        answer = button.parent
        assert answer.find("label")["for"] == button["id"]
        assert answer.find(class_="dd-because").text.startswith("Right. " if "dd-right" in answer["class"] else "No. ")
    assert [button.parent.find("label").text for button in buttons] == ["No", "Yes", "A", "B", "C"]  # texts, no booleans
    assert len(quiz.find_all(class_="dd-right")) == 2
    assert [line.text for line in quiz.find("details").find_all("li")] == ["Yes: the large end </fieldset>.", "A: so"]


def test_markdown_of_a_quiz_is_shown_and_its_html_is_text(page):
    quiz = page(QUIZ).find("div", class_="dd-quiz")
    legend = quiz.find("legend")
    assert legend.find("code").text == "hard" and legend.find(class_="math") and quiz.find("em").text == "large"
    assert not quiz.find("script") and "<script>alert(1)</script>" in legend.text


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


def test_a_solution_is_executed_and_lies_in_a_fold(page):
    body = page(EXERCISE, execute="force")
    exercise, solution = body.find("div", class_="exercise"), body.find("div", class_="solution")
    assert "warm-up" in exercise["class"] and "answer" in exercise.text and exercise.find("p", class_="admonition-title")
    assert "dropdown" in solution["class"] and "executed 3" in solution.text
    assert "executed 3" not in exercise.text and solution.find("a", href=f"#{exercise['id']}")


def test_an_id_stands_once_in_a_page_of_several_exercises(page):
    body = page(EXERCISE + EXERCISE.replace("ex-page-1", "ex-page-2"), execute="force")
    ids = [each["id"] for each in body.find_all(id=True)]
    assert len(body.find_all("div", class_="exercise")) == 2 and sorted(set(ids)) == sorted(ids)


def test_entries_of_a_bibliography_are_items_of_their_list(page):
    body = page("```{eval-rst}\n.. [ONE] Paul.\n.. [TWO] Kirsch.\n\nBy [ONE]_ and [TWO]_.\n```\n")
    entries = body.find_all(class_="citation")
    assert [each["role"] for each in entries] == ["listitem"] * 2 and all(each.parent["role"] == "list" for each in entries)
