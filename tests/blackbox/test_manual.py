"""Manual pages and completions: readers find no fault with them, and they have every command and every key."""

import re
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from harness.tidegate import REPO, run, tidegate_binary
from terminal import Terminal


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a package has beside the binary."""
    maker = tidegate_binary().parent / "manual"
    assert maker.is_file(), f"no {maker}: cargo build -p manual --features proxy/gcp,proxy/azure"
    made = tmp_path_factory.mktemp("manual")
    subprocess.run([maker, made, "2026-01-31"], check=True, timeout=20)
    return made


def said(*argv: str | Path) -> str:
    """What a program writes, which ends well and has nothing to complain of."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"})
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def commands() -> list[str]:
    """The commands that `--help` lists."""
    (listed,) = re.findall(r"^Commands:\n((?:  .*\n)+)", run("--help").stdout, re.MULTILINE)
    return re.findall(r"^  (\w+) ", listed, re.MULTILINE)


def test_there_is_a_page_for_each_command(manual: Path) -> None:
    assert {f"tidegate-{command}.8" for command in commands()} | {"tidegate.8", "tidegate.toml.5"} == {
        page.name for page in (manual / "man").iterdir()
    }


def test_readers_find_no_fault(manual: Path) -> None:
    for file in (manual / "man").iterdir():
        assert said("mandoc", "-T", "lint", "-W", "warning", file) == ""
        assert "2026-01-31" in said("man", "--warnings", "-E", "UTF-8", "-l", file)
        assert said("lexgrog", file).startswith(f'{file}: "{file.stem} - ')


def test_every_key_is_in_the_page(manual: Path) -> None:
    page = (manual / "man/tidegate.toml.5").read_text()
    tables = re.split(r"^## `", (REPO / "docs/configuration.md").read_text(), flags=re.MULTILINE)[1:]
    seen = 0
    for table in tables:
        heading = table.partition("`")[0]
        keys = re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
        sections = re.findall(rf'^\.SH "?{re.escape(heading)}[,"\n](.*?)(?=^\.SH|\Z)', page, re.MULTILINE | re.DOTALL)
        assert sections, heading
        for key in keys:
            assert any(rf"\fB{key}\fR" in section for section in sections), f"{heading} {key}"
            seen += 1
    assert seen > 100
    marked = (REPO / "docs/configuration.md").read_text().count("Needs a restart.** |")
    assert page.count("Needs a restart.") == marked > 0


def test_bash_completes(manual: Path, tmp_path: Path) -> None:
    script = manual / "completions/tidegate.bash"
    assert said("bash", "-n", script) == ""
    with closing(Terminal(["bash", "--norc", "--noprofile", "-i"], tmp_path)) as bash:
        bash.type(f"source {script}; echo $((6*7)) there\n")
        bash.see("42 there")
        for command in commands():
            bash.type(f"tidegate {command[:-2]}\t")
            bash.see(f"tidegate {command} ")
            bash.type("\x15")
        bash.type("tidegate explain --js\t")
        bash.see("--json ")


def test_zsh_completes(manual: Path, tmp_path: Path) -> None:
    assert said("zsh", "-n", manual / "completions/_tidegate") == ""
    with closing(Terminal(["zsh", "-f", "-i", "-V"], tmp_path)) as zsh:
        zsh.type(f"fpath=({manual}/completions $fpath); autoload -U compinit; compinit -u -d {tmp_path}/dump\n")
        zsh.type("echo $((6*7)) there\n")
        zsh.see("42 there")
        zsh.type("tidegate expl\t")
        zsh.see("explain")


def test_fish_completes(manual: Path) -> None:
    script = manual / "completions/tidegate.fish"
    offered = said("fish", "--no-config", "-c", f"source {script}; complete -C 'tidegate '")
    assert {line.split("\t")[0] for line in offered.splitlines()} >= set(commands())
    assert "--json" in said("fish", "--no-config", "-c", f"source {script}; complete -C 'tidegate explain --'")
