"""What a published site needs beside its pages: addresses that moved, a page for those that never were, a card, a citation."""

import re
from html import escape
from pathlib import Path, PurePosixPath

import yaml
from docutils import nodes
from docutils.parsers.rst import Directive

GONE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>No such page - {title}</title><style>:root {{ color-scheme: light dark; }}
body {{ font: 1.1rem/1.6 sans-serif; margin: 15vh auto; max-width: 34rem; padding: 0 1rem; }}</style></head><body>
<h1>No such page</h1><p>This address is not in the book, or no longer. Its <a id="first" href="{first}">first page</a>
leads to all others.</p><script>
// The host shows this page at any depth: the book begins at its own address, or else at the first folder.
if (!"{base}" && location.protocol !== "file:") document.getElementById("first").href =
  location.hostname.endsWith(".github.io") ? "/" + location.pathname.split("/")[1] + "/index.html" : "/index.html";
</script></body></html>
"""
MOVED = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Moved</title><link rel="canonical" href="{to}">
<meta http-equiv="refresh" content="0; url={to}"></head><body><p>This page is now at <a href="{to}">{to}</a>.</p></body></html>
"""


def cited(file: Path) -> str:
    """The BibTeX entry of a citation file."""
    entry = yaml.safe_load(file.read_text())
    names = [" ".join(filter(None, (who.get("given-names"), who.get("family-names")))) or who["name"] for who in entry["authors"]]
    fields = {"title": f"{{{entry['title']}}}", "author": " and ".join(f"{{{name}}}" for name in names),
              "year": str(entry.get("date-released", ""))[:4], "version": str(entry.get("version", "")),
              "url": entry.get("repository-code") or entry.get("url") or ""}  # fmt: skip
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value]
    return "@software{datadiet,\n" + ",\n".join(lines) + "\n}"


class Cite(Directive):
    """A box with the entry that cites this book, from CITATION.cff."""

    def run(self):
        env = self.state.document.settings.env
        file = Path(env.srcdir) / "CITATION.cff"
        env.note_dependency(str(file))
        return [nodes.literal_block(text=cited(file), language="bibtex", classes=["dd-cite"])]


def describe(app, page, template, context, doctree):
    """Tags by which a link to a page is shown elsewhere: title, first sentence, the card."""
    first = next(iter(doctree.findall(nodes.paragraph)), None) if doctree else None
    says = re.sub(r"\s+", " ", first.astext())[:200] if first is not None else app.config.project
    base = app.config.html_baseurl.rstrip("/")
    card = "_static/card.png"
    title = re.sub("<.*?>", "", context.get("title") or "")
    found = {"og:type": "article", "og:site_name": app.config.project, "og:title": title,
             "og:description": says, "twitter:card": "summary_large_image"}  # fmt: skip
    if (Path(app.srcdir) / card).is_file():
        found["og:image"] = f"{base}/{card}" if base else context["pathto"](card, 1)
    if base:
        found["og:url"] = f"{base}/{page}.html"
    tags = "".join(f'<meta property="{name}" content="{escape(value, quote=True)}" />\n' for name, value in found.items())
    context["metatags"] = context.get("metatags", "") + tags


def finish(app, failed):
    """Write the pages that no source has: of addresses that moved, and of those that never were."""
    if failed or app.builder.format != "html":
        return
    out, base = Path(app.outdir), app.config.html_baseurl.rstrip("/")
    (out / "404.html").write_text(GONE.format(title=escape(app.config.project), base=base, first=f"{base}/index.html" if base
                                              else "index.html"))  # fmt: skip
    for old, new in app.config.moved.items():
        page, _, place = new.partition("#")
        if page not in app.env.found_docs or old in app.env.found_docs:
            raise ValueError(f"_config.yml, moved: {old} -> {new}: the new page has to be one of the book, and the old one none.")
        to = f"{'../' * (len(PurePosixPath(old).parts) - 1)}{page}.html{'#' + place if place else ''}"
        (out / f"{old}.html").parent.mkdir(parents=True, exist_ok=True)
        (out / f"{old}.html").write_text(MOVED.format(to=to))


def lighter(app, config):
    """The loader of MathJax, which fetches the parts that _config.yml names; the offline package asks for the whole bundle."""
    config.mathjax_path = "mathjax/startup.js"


def setup(app):
    app.connect("config-inited", lighter)
    app.add_config_value("moved", {}, "html")
    app.add_directive("cite-this-book", Cite)
    app.connect("html-page-context", describe)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
