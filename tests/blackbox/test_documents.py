"""The documents: their links lead somewhere, and the commands of the pages for operators do what they say."""

import os
import re
import runpy
import subprocess
from pathlib import Path

import pytest
from conftest import StartTidegate
from harness import Front, request
from harness.tidegate import REPO, tidegate_binary

PAGES = [REPO / "README.md", REPO / "CONTRIBUTING.md", REPO / "benches/README.md", *sorted((REPO / "docs").glob("*.md"))]
OPERATORS = ["migration.md", "troubleshooting.md"]


def prose(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(there), f"{page.name}: {target}"


def test_the_site_has_every_page_once() -> None:
    listed = re.findall(r"\]\(([^)]+)\)", (REPO / "docs/SUMMARY.md").read_text())
    pages = sorted(page.name for page in (REPO / "docs").glob("*.md") if page.name != "SUMMARY.md")
    assert sorted(listed) == pages


def test_every_figure_of_the_readme_stands_in_the_pages() -> None:
    section = (REPO / "README.md").read_text().partition("## What it gives\n")[2].partition("\n## ")[0]
    table = runpy.run_path(str(REPO / "benches/readme.py"))["table"]
    before, found, after = section.partition(table((REPO / "docs/benchmarks.md").read_text()))
    assert found, "python benches/readme.py writes it anew"
    performance = (REPO / "docs/performance.md").read_text()
    for figure in re.findall(r"\b\d[\d,]*\b", re.sub(r"SSE-S3|\]\([^)]*\)", "", before + after)):
        assert re.search(rf"\b{figure}\b", performance), figure


@pytest.mark.parametrize("page", OPERATORS)
def test_every_command_does_what_it_says(
    page: str, front_1mb: Front, start_tidegate: StartTidegate, tmp_path: Path
) -> None:
    gate = start_tidegate(front_1mb)
    picture = f"{front_1mb.filer.url}/buckets/photos/cat.jpg"
    assert request("PUT", picture, body=b"a cat" * 1000).status == 201
    assert request("GET", gate.url + "/buckets/photos/cat.jpg").status == 200
    (tmp_path / "tidegate").symlink_to(tidegate_binary())
    ours = {
        "127.0.0.1:8888": front_1mb.filer.address,
        "127.0.0.1:8880": gate.listen,
        "127.0.0.1:8881": gate.admin,
        "/etc/tidegate/tidegate.toml": str(gate.config_file),
    }
    commands = re.findall(r"^ *```sh\n(.*?)^ *```", (REPO / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)
    assert len(commands) >= 3
    for command in commands:
        for theirs, our in ours.items():
            command = command.replace(theirs, our)
        env = {key: value for key, value in os.environ.items() if not key.startswith("TIDEGATE_")}
        env["PATH"] = f"{tmp_path}:{env['PATH']}"
        argv = ["bash", "-euo", "pipefail", "-c", command]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=env)
        assert done.returncode == 0 and (done.stdout or "readyz" in command), f"{command}\n{done.stdout}{done.stderr}"
        assert "cmp" not in command or "same: /buckets/photos/cat.jpg" in done.stdout
