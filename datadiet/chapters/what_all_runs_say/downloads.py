"""Tables of the page "Data": the files to download, and what their columns mean."""

import pandas as pd

from datadiet.chapters import pages
from datadiet.runs import released

PLACE = "../data/"  # of the files, seen from a page in chapters/


def linked() -> pages.Page:
    """The released files with links: rows, set, seeds, size."""
    files = released.index()
    rows = []
    for row in [
        {"file": "index.csv", "rows": len(files), "bytes": len(released.files().get("index.csv", b""))},
        *files.to_dict("records"),
    ]:
        link = pages.Link(f'<a href="{PLACE}{row["file"]}" download>{row["file"]}</a>')
        said = [pages.DASH if pd.isna(row.get(name)) else str(row[name]) for name in ("set", "data_checksum")]
        seeds = pages.DASH if pd.isna(row.get("seeds")) else f"{row['seeds']:.0f}"
        rows.append([link, said[0], f"{row['rows']:,}", seeds, f"{row['bytes'] / 1000:,.0f}", said[1][:12]])
    total = sum(map(len, released.files().values())) / 1e6
    head = ["file", "set", "rows", "seeds", "kB", "checksum of the data"]
    return pages.Page(pages.table(rows, head, f"{len(rows)} files, {total:.1f} MB"), "\n".join(" | ".join(row) for row in rows))


def dictionary() -> pages.Page:
    """Every column of the files, with its meaning, its unit and its hard end."""
    return pages.frame(released.dictionary(), "Columns of the files")
