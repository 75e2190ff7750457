"""Exercises as folds: number, title and level in the line that is seen, and within it the text, the stub and the solution's fold.

A fold is a `details` element: it opens by a click or a key without a script. The search, prints and the PDF have its text.
"""

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx_exercise.nodes import exercise_enumerable_node, is_exercise_node, solution_node

LEVELS = ("warm-up", "core", "open")


class summary(nodes.TextElement):
    """The line of a fold that is seen while it is closed."""


def fold(app, doctree, docname):
    """Give exercises and solutions their summaries, and put each solution into its exercise."""
    exercises = {node["label"]: node for node in doctree.findall(is_exercise_node)}
    for label, node in exercises.items():
        level = [each for each in node["classes"] if each in LEVELS]
        if len(level) != 1:
            raise ExtensionError(f"folds: the exercise {label} in {docname} has the levels {level}. Write one of "
                                 f"{', '.join(LEVELS)} after ':class:'.")
        _folded(node, summary("", "", *node[0].children, nodes.Text(" "), nodes.inline("", level[0], classes=["dd-level"])))
    for node in list(doctree.findall(solution_node)):
        if node["target_label"] not in exercises:
            raise ExtensionError(f"folds: the solution {node['label']} is not in the page of {node['target_label']}. "
                                 f"Write it into {docname}, behind its exercise.")
        node.parent.remove(node)
        _folded(node, summary("", "Solution"))
        exercises[node["target_label"]] += node


def _folded(node, line: summary) -> None:
    """The summary instead of the title, and the content without its section, whose id every exercise has."""
    parts = (each.children if isinstance(each, nodes.section) else [each] for each in node[1:])
    node[:] = [line, *(each for part in parts for each in part)]


def visit_fold(writer, node):
    node["classes"] = [each for each in node["classes"] if each != "dropdown"]  # else a script makes a second fold of it
    writer.body.append(writer.starttag(node, "details", CLASS="dd-work"))


def depart_fold(writer, node):
    writer.body.append("</details>\n")


def visit_summary(writer, node):
    writer.body.append("<summary>")
    if is_exercise_node(node.parent):
        writer.add_fignumber(node.parent)


def depart_summary(writer, node):
    writer.body.append("</summary>\n")


def setup(app):
    app.setup_extension("sphinx_exercise")
    app.add_node(summary, html=(visit_summary, depart_summary))
    for each in (exercise_enumerable_node, solution_node):
        app.add_node(each, override=True, html=(visit_fold, depart_fold))
    app.connect("doctree-resolved", fold)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
