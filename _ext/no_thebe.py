"""Takes the live-code scripts out of the pages: jupyter-book always adds them, twice, and they point outside the book."""


def drop(app, page, template, context, doctree):
    scripts = context.get("script_files", [])
    scripts[:] = [each for each in scripts if "thebe" not in str(getattr(each, "filename", each))
                  and "THEBE" not in str(getattr(each, "attributes", {}).get("body", ""))]


def setup(app):
    app.connect("html-page-context", drop, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
