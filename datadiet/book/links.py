"""Links of a rendered book: each leads to a page or an anchor that is there.

python -m datadiet.book.links _build/html              # within the book
python -m datadiet.book.links _build/html --outside    # also those to elsewhere, over the network
"""

import sys
import urllib.error
import urllib.request
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links of a page, and its anchors."""

    def __init__(self, text: str):
        super().__init__()
        self.links, self.anchors = [], {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        for name in ("href", "src"):
            if found.get(name):
                self.links.append(found[name])


def read(folder: Path) -> dict[Path, Page]:
    """Every page of a book, by its place within `folder`."""
    files = (file for file in sorted(folder.rglob("*.html")) if "_static" not in file.relative_to(folder).parts)
    return {file.relative_to(folder): Page(file.read_text(encoding="utf-8")) for file in files}


def broken(folder: Path) -> list[str]:
    """Links within a book that lead nowhere, as "page: link"."""
    pages, found = read(folder), []
    for place, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link.startswith("data:"):
                continue
            target = (folder / place.parent / unquote(parts.path)).resolve() if parts.path else (folder / place).resolve()
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                found.append(f"{place}: {link}")
            elif parts.fragment and target.suffix == ".html":
                other = pages.get(target.relative_to(folder.resolve()))
                if other is not None and unquote(parts.fragment) not in other.anchors:
                    found.append(f"{place}: {link} (no such anchor)")
    return found


def outside(folder: Path) -> dict[str, list[str]]:
    """Addresses elsewhere that the pages link, and the pages that do."""
    found = defaultdict(list)
    for place, page in read(folder).items():
        for link in page.links:
            if urlsplit(link).scheme in ("http", "https"):
                found[link].append(str(place))
    return dict(found)


def answers(address: str) -> str | None:
    """None where a server knows the address, else why not. A server that refuses robots knows it too."""
    asked = urllib.request.Request(address, headers={"User-Agent": "Mozilla/5.0 (a link check of a book)"})
    try:
        urllib.request.urlopen(asked, timeout=30).close()
    except urllib.error.HTTPError as problem:
        return None if problem.code in (401, 403, 405, 429) else f"status {problem.code}"
    except (OSError, ValueError) as problem:
        return str(problem)
    return None


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0])
    faults = broken(folder)
    if "--outside" in arguments:
        for address, places in outside(folder).items():
            if why := answers(address):
                faults.append(f"{places[0]}: {address} ({why})")
    print("\n".join(faults) or f"Every link of {len(read(folder))} pages leads somewhere.")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
