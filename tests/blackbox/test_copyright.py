"""Whose work is in the binary: what the package and the image tell of it."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness.tidegate import REPO

SCRIPT = REPO / "deploy/debian/copyright.py"


def test_each_crate_is_named_with_its_license_and_the_text_of_it(tmp_path: Path) -> None:
    made = tmp_path / "copyright"
    done = subprocess.run([sys.executable, SCRIPT, made, "gcp", "azure"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    told, _, texts = made.read_text().partition("-" * 80)
    assert told.splitlines()[2] == "License: Apache-2.0"
    numbered = set(re.findall(r"^(\[\d+\])$", texts, re.MULTILINE))
    crates = dict(re.findall(r"^(\S+) \d\S*\n((?:  .*\n)+)", told, re.MULTILINE))
    assert len(crates) > 100 and crates.keys() >= {"aws-lc-sys", "hyper", "rustls", "tokio"}
    assert not crates.keys() & {"proptest", "shuttle", "serde_derive"}, "neither tests nor macros are in it"
    for name, said in crates.items():
        (named,) = re.findall(r"^  Text: (.+)$", said, re.MULTILINE)
        assert set(named.split(", ")) <= {"Apache", *numbered}, name
        assert re.search(r"^  License: \S", said, re.MULTILINE), name
    assert "Copyright (c) 2018-2025 Microsoft Corporation" in crates["libmimalloc-sys"], "the C code within"
    assert len(numbered) < len(crates) / 3, "a text that many bring stands there once"


@pytest.mark.parametrize(
    ("license", "is_accepted"),
    [
        ("MIT", True),
        ("MIT/Apache-2.0", True),
        ("GPL-3.0-only OR MIT", True),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("no license", False),
        ("", False),
    ],
)
def test_a_license_that_nobody_agreed_to_stops_it(license: str, is_accepted: bool) -> None:
    spec = importlib.util.spec_from_file_location("copyright_of_crates", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    assert module.is_accepted(license) == is_accepted
