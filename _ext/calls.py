"""Cells whose code is one call for a figure or a card of the chapter: their code is shown on demand, by one button a page."""

import re

from docutils import nodes

CALL = re.compile(r"(chapter\.figures|pages)\.\w+\(.*\)")


def mark(app, doctree, docname):
    for code in doctree.findall(nodes.container):
        if code.get("nb_element") == "cell_code_source" and CALL.fullmatch(code.astext().strip()):
            code["classes"].append("dd-call")


def setup(app):
    app.connect("doctree-resolved", mark)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
