"""The table of README.md: a few figures out of docs/benchmarks.md, so that the two never differ.

`all.py` writes it with the page; by itself it is written with `python benches/readme.py`.
"""

import re
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- benches/readme.py writes this table -->\n", "<!-- its end -->\n"

COLUMNS = {
    "tidegate, SSE-C": "tidegate, SSE-C",
    "S3 gateway, SSE-C": "S3 gateway, SSE-C",
    "filer": "filer, plain",
    "nginx, buffers of 256 KiB": "nginx before the filer, plain",
}
CACHED = "tidegate, SSE-C, chunk cache"
# What a row is called, and where the page has it: under which heading, and in which column.
ROWS = [
    ("a whole download, MB/s", "Distance", "0 ms"),
    ("the same, the volume server 20 ms away each way", "Distance", "20 ms"),
    ("seconds of processor for a GB, the filer's included", "Whole downloads", "both"),
    ("ranges of 64 KiB, requests/s", "Ranges of 64 KiB", "requests/s"),
    ("objects of 4 KiB, requests/s", "Objects of 4 KiB", "requests/s"),
]


def table(page: str) -> str:
    """The table, out of the text of docs/benchmarks.md. Raises KeyError where the page lacks a figure."""
    lines = [f"| | {' | '.join(COLUMNS.values())} |", "|---|" + "---|" * len(COLUMNS)]
    for name, heading, column in ROWS:
        found = column_of(page, heading, column)
        cells = [found[one] for one in COLUMNS]
        if CACHED in found:
            name, cells[0] = f"{name}; out of the chunk cache", f"{cells[0]}; {found[CACHED]}"
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def column_of(page: str, heading: str, column: str) -> dict[str, str]:
    """What a column under a heading says for each line."""
    found = re.search(rf"^## {re.escape(heading)}\n.*?^(\|.*?)(?:\n\n|\Z)", page, re.MULTILINE | re.DOTALL)
    if found is None:
        raise KeyError(f"{heading}: no table")
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines())
    at = head.index(column)
    # Over distance there is a ratio behind the figure.
    return {row[0]: row[at].split(" ")[0] for row in rows}


def write(docs: Path) -> None:
    """Writes the table into the README beside the folder of pages, if there is one."""
    readme = docs.parent / "README.md"
    if readme.exists():
        before, _, rest = readme.read_text().partition(BEGIN)
        readme.write_text(before + BEGIN + table((docs / "benchmarks.md").read_text()) + END + rest.partition(END)[2])


if __name__ == "__main__":
    write(REPO / "docs")
