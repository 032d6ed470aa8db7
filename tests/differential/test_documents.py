"""docs/differences.md shows the list, and docs/reads.md every kind of file: no more and no less."""

import re
from pathlib import Path

import differences
from files import KINDS, NAMES

DOCS = Path(__file__).resolve().parents[2] / "docs"
TESTS = Path(__file__).resolve().parents[1]


def test_the_document_shows_exactly_the_list() -> None:
    shown = re.findall(r"^\| `([a-z-]+)` \|", (DOCS / "differences.md").read_text(), re.MULTILINE)
    listed = [difference.name for difference in differences.ALL]
    assert len(set(listed)) == len(listed)
    assert sorted(shown) == sorted(listed)


def test_every_line_says_why() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|(.*)\|(.*)\|(.*)\|$", (DOCS / "differences.md").read_text(), re.MULTILINE)
    assert len(rows) == len(differences.ALL)
    for name, theirs, ours, why in rows:
        assert all(len(cell.strip()) > 2 for cell in (theirs, ours, why)), name


def test_what_is_shown_elsewhere_is_shown() -> None:
    tests = "".join(file.read_text() for file in TESTS.glob("*/test_*.py"))
    for difference in differences.ALL:
        if not difference.repair and not difference.present:
            assert f"def {difference.shown_by}(" in tests, difference.name


def test_the_table_of_reads_has_every_kind() -> None:
    table = (DOCS / "reads.md").read_text()
    shown = set(re.findall(r"`([a-z0-9-]+)`", table))
    kinds = {kind for kind in KINDS if kind not in {f"name-{name}" for name in NAMES}}
    assert not kinds - shown, f"not in docs/reads.md: {sorted(kinds - shown)}"
