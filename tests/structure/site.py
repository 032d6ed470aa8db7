#!/usr/bin/env python3
"""Whether every link of a built site leads to a page of it, and to a place that is on that page.

    site.py DIRECTORY
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page links to, and what can be linked to on it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and (name == "id" or (tag == "a" and name == "name")):
                self.places.add(value)
            elif value and name in ("href", "src"):
                self.links.append(value)


def broken(root: Path) -> list[str]:
    """Each link that leads nowhere, with its page."""
    pages = {file.resolve(): Page(file) for file in root.rglob("*.html")}
    found = []
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            # A page for whatever is not found is shown under any address.
            if parts.scheme or parts.netloc or file.name == "404.html":
                continue
            there = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            there = there / "index.html" if there.is_dir() else there
            place = unquote(parts.fragment)
            if not there.is_file() or (place and there in pages and place not in pages[there].places):
                found.append(f"{file.relative_to(root.resolve())}: {link}")
    return found


def main() -> int:
    """Prints what is broken."""
    root = Path(sys.argv[1])
    lines = broken(root)
    count = sum(1 for _ in root.rglob("*.html"))
    print("\n".join(lines) if lines else f"{count} pages, no broken link")
    return 1 if lines or not count else 0


if __name__ == "__main__":
    sys.exit(main())
