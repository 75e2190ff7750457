"""A quiz in a page: a fold a question, with radio buttons whose feedback the page shows by CSS alone, without script or server.

The body of the directive is YAML: a list of `{question, answers: [{text, right: true, because}]}`, one answer of each right.
Markdown within a text (code, formulas, emphasis) is shown; HTML within a text is shown as it is written.
"""

from html import escape

import yaml
from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

KEYS = {"question": {"question", "answers"}, "answer": {"text", "right", "because"}}


class Wrong(Exception):
    """A quiz that cannot be shown; the message says the reason."""


def questions(text: str) -> list[dict]:
    """The questions of a quiz, checked: known keys, texts that are not empty, two answers or more, exactly one of them right."""
    try:
        found = yaml.load(text, yaml.BaseLoader)  # all texts: an answer may be Yes, or 0.5
    except yaml.YAMLError as error:
        raise Wrong(f"the body is not YAML ({' '.join(str(error).split())}). Quote a text that holds a colon.") from error
    if not isinstance(found, list) or not found:
        raise Wrong("the body is not a list of questions. Begin each question with '- question:'.")
    for place, each in enumerate(found, start=1):
        _known(each, "question", f"question {place}")
        _text(each, "question", f"question {place}")
        answers = each.get("answers")
        if not isinstance(answers, list) or len(answers) < 2:
            raise Wrong(f"question {place} has no list of two answers or more. Write them under 'answers:'.")
        for number, answer in enumerate(answers, start=1):
            _known(answer, "answer", f"answer {number} of question {place}")
            for key in ("text", "because"):
                _text(answer, key, f"answer {number} of question {place}")
            if answer.get("right", "true") != "true":
                raise Wrong(f"answer {number} of question {place} has right: {answer['right']!r}. Write true, or leave it out.")
        right = sum("right" in answer for answer in answers)
        if right != 1:
            raise Wrong(f"question {place} has {right} right answers. Mark exactly one with 'right: true'.")
    return found


def _known(entry, kind: str, where: str) -> None:
    if not isinstance(entry, dict):
        raise Wrong(f"{where} is {entry!r}. Write it with the keys {', '.join(sorted(KEYS[kind]))}.")
    unknown = sorted(str(key) for key in set(entry) - KEYS[kind])
    if unknown:
        raise Wrong(f"{where} has the key {', '.join(unknown)}. The keys are {', '.join(sorted(KEYS[kind]))}.")


def _text(entry: dict, key: str, where: str) -> None:
    if not isinstance(entry.get(key), str) or not entry[key].strip():
        raise Wrong(f"{where} has the {key} {entry.get(key)!r}. Write a text there.")


class Quiz(SphinxDirective):
    has_content = True

    def run(self):
        try:
            found = questions("\n".join(self.content))
        except Wrong as error:
            raise ExtensionError(f"quiz: in {self.env.docname}, line {self.lineno}, {error}") from error
        name = f"quiz-{self.env.new_serialno('quiz') + 1}"
        quiz = nodes.container(classes=["dd-quiz"])
        for place, each in enumerate(found, start=1):
            quiz += self.question(each, place, f"{name}-{place}")
        quiz += html('<details class="dd-key"><summary>The answers in words</summary>')
        key = nodes.enumerated_list()
        for each in found:
            right = next(answer for answer in each["answers"] if "right" in answer)
            line = nodes.paragraph()
            line += [*self.inline(right["text"]), nodes.Text(": "), *self.inline(right["because"])]
            key += nodes.list_item("", line)
        quiz += [key, html("</details>")]
        return [quiz]

    def question(self, each: dict, place: int, name: str) -> nodes.Node:
        """A fold; the feedback of an answer stands behind its button, and CSS shows it while the button is down."""
        asked = nodes.container(classes=["dd-question"])
        asked += html(f'<details class="dd-work"><summary id="{escape(name)}">')
        line = nodes.inline()
        line += [nodes.Text(f"{place}. "), *self.inline(each["question"])]
        asked += [line, html(f'</summary><fieldset aria-labelledby="{escape(name)}">')]
        for number, answer in enumerate(each["answers"], start=1):
            right, button = "right" in answer, f"{name}-{number}"
            asked += html(f'<div class="dd-answer {"dd-right" if right else "dd-wrong"}">'
                          f'<input type="radio" name="{escape(name)}" id="{escape(button)}">'
                          f'<label for="{escape(button)}">')
            asked += self.inline(answer["text"])
            asked += html('</label><div class="dd-feedback" aria-live="polite"><p class="dd-because">')
            said = nodes.strong("", "Right. " if right else "No. ")
            asked += [said, *self.inline(answer["because"]), html("</p></div></div>")]
        asked += html("</fieldset></details>")
        return asked

    def inline(self, text: str) -> list:
        """The nodes of a text; HTML in it becomes text, so that no page is opened or closed by a quiz."""
        parent = nodes.paragraph()
        parent += self.state.inline_text(text.strip(), self.lineno)[0]
        for raw in list(parent.findall(nodes.raw)):
            raw.parent.replace(raw, nodes.Text(raw.astext()))
        return list(parent.children)


def html(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


def setup(app):
    app.add_directive("quiz", Quiz)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
