"""Lengths such as |p - y| stay as they are where a docstring becomes a page: in reStructuredText a bar begins a substitution."""

import re


def escaped(app, what, name, obj, options, lines):
    lines[:] = [line if line.lstrip().startswith(">>>") else re.sub(r"(``.*?``)|\|", lambda found: found[1] or r"\|", line)
                for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", escaped)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
