"""Mends what others' directives write into a page and a screen reader stumbles over.

docutils gives entries of a bibliography a role that WAI-ARIA has withdrawn, within a list that then has no items.
"""


def mend(app, page, template, context, doctree):
    if "body" in context:
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


def setup(app):
    app.connect("html-page-context", mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
