"""Launch buttons only where the book has an address, and to notebooks: the branch they open holds the chapters as .ipynb."""


def only_with_an_address(app, config):
    if not config.html_theme_options.get("repository_url"):
        config.html_theme_options.pop("launch_buttons", None)


def to_notebooks(app, page, template, context, doctree):
    for group in context.get("header_buttons") or ():
        if group.get("label") == "launch-buttons":
            for button in group["buttons"]:
                button["url"] = button["url"].removesuffix(".md") + (".ipynb" if button["url"].endswith(".md") else "")


def setup(app):
    app.connect("config-inited", only_with_an_address)
    app.connect("html-page-context", to_notebooks, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
