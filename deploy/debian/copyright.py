"""Whose work is in the binary, and under which licenses: /usr/share/doc/tidegate/copyright.

    copyright.py OUTPUT [FEATURE…]

Of every crate that is compiled into `tidegate` with these features: its name, version and license, and the notices and texts
that its sources bring. A text that several bring stands there once, and that of the Apache License is Debian's own file.

Ends with 1 where a crate has a license that nobody has agreed to, or none of whose text is found.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
CARGO = os.environ.get("CARGO", "cargo")

# All of them let a program be given away whose own license is the Apache License 2.0.
ACCEPTED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}

NAMES = re.compile(r"(un)?licen[cs]e|copying|copyright|notice", re.IGNORECASE)
SOURCES = {".rs", ".c", ".h", ".cc", ".go", ".py", ".json", ".html", ".yml", ".toml"}
# What is in a crate's package and not in the binary.
LEFT_OUT = {"benches", "docs", "examples", "fuzz", "tests", "util"}

APACHE = re.compile(
    r"^[ \t]*Apache License\s+Version 2\.0, January 2004.*?END OF TERMS AND CONDITIONS"
    r"(\s+APPENDIX: How to apply.*?limitations under the License\.)?",
    re.DOTALL | re.MULTILINE,
)
NOTICE = re.compile(r"^[ \t#*/]*(?:Copyright\b|\(c\)|©)(?=.*(?:\d{4}|\([cC]\)|©|\bby\b|[Dd]evelopers|[Cc]ontributors|[Aa]uthors)).*$", re.M)
HEADING = re.compile(r"^(the )?(mit|isc) license( \((mit|isc)\))? ")
# In the Apache License's instructions.
TEMPLATE = re.compile(r"[\[{<]yyyy[\]}>]")
MIT = "Permission is hereby granted, free of charge, to any person obtaining a copy"

HEAD = """\
tidegate
Copyright 2026 the authors of tidegate
License: Apache-2.0

The full text of the Apache License, version 2.0, is in
/usr/share/common-licenses/Apache-2.0 on Debian systems, and in the file LICENSE
of the sources and of the image.

The binary holds the Rust standard library (MIT or Apache-2.0, copyright the
Rust project contributors, https://www.rust-lang.org) and the crates below, each
under the license beside its name, with the notices that its sources bring.
"Apache" stands for the text named above, and numbers for the texts at the end.
"""


@dataclass
class Crate:
    """One that is in the binary."""

    name: str
    version: str
    license: str
    authors: list[str]
    folder: Path
    notices: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    """Names of texts, as they are shown."""


class Texts:
    """Texts of licenses, each once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.shown: list[str] = []

    def number(self, text: str) -> str:
        """What this text is called. Line breaks, quotation marks and its own heading make no other one of it."""
        key = HEADING.sub("", " ".join(re.findall(r"[\w.,;:()]+", text.lower())))
        if key not in self._numbers:
            self._numbers[key] = len(self._numbers) + 1
            self.shown.append(text)
        return f"[{self._numbers[key]}]"

    def holding(self, phrase: str) -> str | None:
        """What the first one is called that has this phrase."""
        return next((self.number(text) for text in self.shown if phrase in " ".join(text.split())), None)


def main() -> int:
    """Writes the file."""
    output, *features = sys.argv[1:]
    crates, texts, wrong = in_the_binary(features), Texts(), []
    for crate in crates:
        if not is_accepted(crate.license):
            wrong.append(f"{crate.name} {crate.version} is under {crate.license!r}, which nobody has agreed to")
        read(crate, texts)
    for crate in crates:
        if not crate.texts:
            # Of this one the text is the same wherever it stands.
            standard = texts.holding(MIT) if "MIT" in crate.license else None
            crate.texts = [standard] if standard else []
            crate.notices = crate.notices or [f"Copyright {', '.join(crate.authors) or f'the authors of {crate.name}'}"]
        if not crate.texts:
            wrong.append(f"{crate.name} {crate.version} brings no text of its license, {crate.license!r}")
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong:
        return 1
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    Path(output).write_text("\n".join([HEAD, *map(paragraph, crates), *map(chapter, range(1, len(texts.shown) + 1), texts.shown)]))
    return 0


def in_the_binary(features: list[str]) -> list[Crate]:
    """Every crate that `proxy` is made of but our own. Macros run in the compiler, and are not in it."""
    asked = ["--features", ",".join(f"proxy/{feature}" for feature in features)] if features else []
    # Only the tree leaves out what tests alone switch on, and only the metadata says where the sources are.
    tree = output_of(CARGO, "tree", "--locked", "--package=proxy", "--edges=normal,no-proc-macro", "--prefix=none", "--format={p}", *asked)
    inside = set(re.findall(r"^(\S+) v(\S+)", tree, re.MULTILINE))
    host = re.findall(r"^host: (.*)$", output_of(CARGO, "-vV"), re.MULTILINE)[0]
    metadata = output_of(CARGO, "metadata", "--locked", "--format-version=1", f"--filter-platform={host}", *asked)
    packages = json.loads(metadata)["packages"]
    others = [one for one in packages if one["source"] and (one["name"], one["version"]) in inside]
    return [
        Crate(one["name"], one["version"], one["license"] or "no license", one["authors"], Path(one["manifest_path"]).parent)
        for one in sorted(others, key=lambda one: (one["name"], one["version"]))
    ]


def output_of(*argv: str) -> str:
    """What a program prints."""
    return subprocess.run(argv, cwd=REPO, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True).stdout


def is_accepted(expression: str) -> bool:
    """Whether a license expression (SPDX; old ones have a slash for "or") leaves a choice that is accepted."""
    words = re.findall(r"[()]|[^\s()]+", re.sub(r"\s+WITH\s+", "~", expression.replace("/", " OR ")))
    spoken = {"(": "(", ")": ")", "AND": "and", "OR": "or"}
    said = [spoken.get(word, str(word.replace("~", " WITH ") in ACCEPTED)) for word in words]
    try:
        return bool(eval(" ".join(said)))  # nothing but truth values, and, or and brackets
    except SyntaxError:
        return False


def read(crate: Crate, texts: Texts) -> None:
    """Fills in the notices and texts of a crate's files."""
    for path in license_files(crate.folder):
        whole = path.read_text(errors="replace").replace("\r\n", "\n").replace("\f", "\n")
        found = [" ".join(line.strip(" \t#*/").split()) for line in NOTICE.findall(whole) if not TEMPLATE.search(line)]
        crate.notices = list(dict.fromkeys(crate.notices + found))
        without, apache = APACHE.subn("", whole)
        rest = NOTICE.sub("", without).strip("\n -=*")
        named = (["Apache"] if apache else []) + ([texts.number(rest)] if len(rest) > 20 else [])
        crate.texts = list(dict.fromkeys(crate.texts + named))


def license_files(folder: Path) -> list[Path]:
    """Those of a crate, and of the code of others within."""
    found = []
    for at, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - LEFT_OUT)
        found += [Path(at, name) for name in sorted(files) if NAMES.match(name) and Path(name).suffix not in SOURCES]
    return found


def paragraph(crate: Crate) -> str:
    """What is said of one crate."""
    lines = [f"{crate.name} {crate.version}", *(f"  {notice}" for notice in crate.notices)]
    return "\n".join([*lines, f"  License: {crate.license}", f"  Text: {', '.join(crate.texts)}", ""])


def chapter(number: int, text: str) -> str:
    """One text."""
    return "\n".join(["-" * 80, f"[{number}]", "", *(line.rstrip() for line in text.splitlines()), ""])


if __name__ == "__main__":
    sys.exit(main())
