"""Which file imports which: whether any of them do so in a circle, and whether every arrow points down.

An arrow runs from a file to the one that defines the name it uses: a name that a `mod.rs` only hands on is looked for behind
it. `mod x;` and `pub use x::Name;` are doors, not arrows. What stands under `#[cfg(test)]` is left out.

The floors of a crate are those that `docs/architecture.md` lists under "```floors CRATE", top floor first: each module
stands on one, and imports only from floors below.

Ends with 1 and the arrows that run otherwise where there are any.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

Module = tuple[str, ...]

PAGE = Path("docs/architecture.md")

# Strings and comments hold words that look like paths.
NOISE = re.compile(r"""//[^\n]*|/\*.*?\*/|\br(#+)".*?"\1|\bb?'(?:\\.|[^'\\])'|'(?:\\.|[^'\\])'|"(?:\\.|[^"\\])*\"""", re.DOTALL)
VISIBILITY = re.compile(r"\bpub\s*\([^)]*\)")
TEST_BLOCK = re.compile(r"#\[cfg\((?:any\()?test\b[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?")
USE = re.compile(r"^\s*(?P<door>pub(?:\([^)]*\))?\s+)?use\s+(?P<tree>[\w:\s{},*]+);", re.MULTILINE)
PATH = re.compile(r"\b(?:crate|super|self)(?:::\w+)+")
CHILD = re.compile(r"^\s*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;", re.MULTILINE)
ITEM = re.compile(r"\b(?:struct|enum|union|trait|fn|const|static|type|macro_rules!)\s+(?:mut\s+)?(\w+)")


@dataclass
class File:
    """One source file and the names in it."""

    path: Path
    module: Module
    defines: set[str] = field(default_factory=set)
    # Names of other files that it hands on, by the name under which it does.
    doors: dict[str, Module] = field(default_factory=dict)
    uses: set[Module] = field(default_factory=set)
    # What it calls by a name of its own.
    names: dict[str, Module] = field(default_factory=dict)


def main() -> int:
    """Looks at every crate."""
    crates = sorted(Path("crates").glob("*/src"))
    found = 0
    for root in crates:
        files = read(root)
        arrows = {module: set(targets(file, files)) - {module} for module, file in files.items()}
        for circle in circles(arrows):
            found += 1
            print(f"a circle of {len(circle)} files in {root.parent.name}:", file=sys.stderr)
            for module in sorted(circle):
                for target in sorted(arrows[module] & circle):
                    print(f"  {files[module].path} -> {files[target].path}", file=sys.stderr)
        for line in against_floors(root.parent.name, files, arrows):
            found += 1
            print(line, file=sys.stderr)
    if not crates:
        print("no crates here: run it from the root of the checkout", file=sys.stderr)
        return 2
    return 1 if found else 0


def against_floors(crate: str, files: dict[Module, File], arrows: dict[Module, set[Module]]) -> Iterator[str]:
    """What does not agree with the floors of the page."""
    block = re.search(rf"^```floors {crate}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    if block is None:
        yield f"{PAGE} has no floors of {crate}"
        return
    rows = [line.split() for line in block[1].splitlines() if line.strip()]
    floors = {room: len(rows) - at for at, rooms in enumerate(rows) for room in rooms}
    rooms = {module[0] for module in files if module and module != ("(main)",)}
    for room in sorted(rooms ^ floors.keys()):
        where = "is on no floor of" if room in rooms else "is no module, but on a floor of"
        yield f"{room} {where} {crate} in {PAGE}"
    for module, targets_of in sorted(arrows.items()):
        for target in sorted(targets_of):
            if not module or not target or module[0] == target[0] or module == ("(main)",):
                continue
            if floors.get(module[0], 0) <= floors.get(target[0], 0):
                yield f"an arrow of {crate} that does not point down: {files[module].path} -> {files[target].path}"


def read(root: Path) -> dict[Module, File]:
    """The files of a crate by their module."""
    files: dict[Module, File] = {}
    for path in sorted(root.rglob("*.rs")):
        parts = path.relative_to(root).with_suffix("").parts
        if any(part == "tests" or part.startswith("tests_") for part in parts):
            continue
        module = () if parts in (("lib",), ("main",)) else parts[:-1] if parts[-1] == "mod" else parts
        if parts == ("main",):
            module = ("(main)",)
        files[module] = understand(path, module, path.read_text())
    return {module: file for module, file in files.items() if not only_for_tests(module, files, root)}


def only_for_tests(module: Module, files: dict[Module, File], root: Path) -> bool:
    """Whether the module is declared under `#[cfg(test)]`, it or one above it."""
    for depth in range(1, len(module) + 1):
        parent = files.get(module[: depth - 1])
        declared = re.compile(rf"#\[cfg\([^\]]*\btest\b[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?mod\s+{module[depth - 1]};")
        if parent and declared.search(parent.path.read_text()):
            return True
    return False


def understand(path: Path, module: Module, text: str) -> File:
    """What a file defines, hands on and uses."""
    text = without_tests(VISIBILITY.sub("pub", NOISE.sub(" ", text)))
    file = File(path, module, defines=set(ITEM.findall(text)))
    here = () if module == ("(main)",) else module
    children = set(CHILD.findall(text))
    for match in USE.finditer(text):
        for names, called in leaves(match["tree"]):
            target = (*here, *names) if names[0] in children else absolute(names, here)
            if target is None:
                continue
            if match["door"]:
                file.doors[called] = target
            else:
                file.uses.add(target)
                file.names[called] = target
    for match in PATH.finditer(USE.sub(" ", text)):
        target = absolute(tuple(match[0].split("::")), here)
        if target is not None:
            file.uses.add(target)
    # `child::name` without `self::`, of a module that is declared here.
    for child in children:
        for name in re.findall(rf"(?<![\w:]){child}::(\w+)", USE.sub(" ", text)):
            file.uses.add((*here, child, name))
    return file


def without_tests(text: str) -> str:
    """The text without the items under `#[cfg(test)]`."""
    while match := TEST_BLOCK.search(text):
        text = text[: match.start()] + text[end_of_item(text, match.end()) :]
    return text


def end_of_item(text: str, start: int) -> int:
    """Behind the `;` or the closing brace of the item that begins at `start`."""
    depth = 0
    for at in range(start, len(text)):
        if text[at] in "{([":
            depth += 1
        elif text[at] in "})]":
            depth -= 1
            if depth <= 0 and text[at] == "}":
                return at + 1
        elif text[at] in ";," and depth == 0:
            return at + 1
    return len(text)


def leaves(tree: str) -> Iterator[tuple[Module, str]]:
    """Each path of a use tree, with the name that it gets."""
    tree = " ".join(tree.split())
    if "{" in tree:
        prefix, inner = tree.split("{", 1)
        inner = inner[: inner.rindex("}")]
        for branch in branches(inner):
            for names, called in leaves(prefix + branch):
                yield names, called
        return
    path, _, alias = tree.partition(" as ")
    names = tuple(part.strip() for part in path.split("::") if part.strip())
    if len(names) > 1 and names[-1] == "self":
        names = names[:-1]
    if names:
        yield names, alias.strip() or names[-1]


def branches(inner: str) -> Iterator[str]:
    """The comma-separated branches of one level."""
    depth, start = 0, 0
    for at, letter in enumerate(inner):
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            yield inner[start:at].strip()
            start = at + 1
    if inner[start:].strip():
        yield inner[start:].strip()


def absolute(names: Module, here: Module) -> Module | None:
    """The path from the crate's root; `None` for one that does not begin with `crate`, `self` or `super`."""
    if names[0] == "crate":
        return names[1:]
    if names[0] not in ("self", "super"):
        return None
    base = here
    rest = list(names)
    if rest[0] == "self":
        rest.pop(0)
    while rest and rest[0] == "super":
        base = base[:-1]
        rest.pop(0)
    return (*base, *rest)


def targets(file: File, files: dict[Module, File]) -> Iterator[Module]:
    """The modules whose files define what this one uses."""
    for path in file.uses:
        home = resolve(path, files, set())
        if home is not None:
            yield home


def resolve(path: Module, files: dict[Module, File], seen: set[Module]) -> Module | None:
    """The module that defines what stands at `path`, through any doors."""
    if path in seen:
        return None
    seen.add(path)
    if path in files:
        return path
    for depth in range(len(path) - 1, -1, -1):
        module = path[:depth]
        if module not in files:
            continue
        name, rest = path[depth], path[depth + 1 :]
        file = files[module]
        if name in file.defines:
            return module
        for doors in (file.doors, file.names):
            if name in doors and doors[name] != path:
                return resolve((*doors[name], *rest), files, seen)
        for door in file.doors.values():
            if door and door[-1] == "*":
                home = resolve((*door[:-1], name, *rest), files, seen)
                if home is not None:
                    return home
        return module
    return None


def circles(arrows: dict[Module, set[Module]]) -> list[set[Module]]:
    """The strongly connected sets of more than one file (Tarjan)."""
    index: dict[Module, int] = {}
    low: dict[Module, int] = {}
    stack: list[Module] = []
    found: list[set[Module]] = []

    def visit(module: Module) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in sorted(arrows[module]):
            if target not in arrows:
                continue
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            circle = set()
            while True:
                other = stack.pop()
                circle.add(other)
                if other == module:
                    break
            if len(circle) > 1:
                found.append(circle)

    sys.setrecursionlimit(10_000)
    for module in sorted(arrows):
        if module not in index:
            visit(module)
    return found


if __name__ == "__main__":
    sys.exit(main())
