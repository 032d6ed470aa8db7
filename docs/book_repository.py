#!/usr/bin/env python3
"""A preprocessor of mdBook: links that leave docs/ lead to the repository's own site, or are no links where none is named."""

import json
import re
import sys


def relinked(text: str, url: str) -> str:
    """The page's text; a link's label stays in any case."""
    replacement = rf"[\1]({url.rstrip('/')}/\2)" if url else r"\1"
    return re.sub(r"\[([^]]*)\]\(\.\./([^)\s]+)\)", replacement, text)


def visit(items: list, url: str) -> None:
    """Every chapter, and those below it."""
    for item in items:
        if isinstance(item, dict) and (chapter := item.get("Chapter")):
            chapter["content"] = relinked(chapter["content"], url)
            visit(chapter["sub_items"], url)


def main() -> None:
    """mdBook asks first which renderers are supported, then writes [context, book] and reads the book."""
    if sys.argv[1:2] == ["supports"]:
        return
    context, book = json.load(sys.stdin)
    settings = context["config"].get("preprocessor", {}).get("repository", {})
    visit(book.get("items") or book.get("sections") or [], settings.get("url", ""))
    json.dump(book, sys.stdout)


main()
