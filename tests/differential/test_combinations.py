"""Generated requests for every kind of file: whatever the filer answers, tidegate answers, but for the list."""

import os

import pytest
from compare import Pair
from files import KINDS, Writer
from generate import Generator

SEED = os.environ.get("TIDEGATE_DIFFERENTIAL_SEED", "1")
PER_KIND = int(os.environ.get("TIDEGATE_DIFFERENTIAL_COUNT", "60"))


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_the_filers(kind: str, writer: Writer, pairs: dict[str, Pair]) -> None:
    file = writer.get(kind)
    pair = pairs[file.front]
    known = pair.known(file)
    generator = Generator(f"{SEED} {kind}", known)
    failed = []
    for request in generator.requests(PER_KIND):
        if what := pair.difference(request, known):
            failed.append(f"{request}\n  {what}")
    assert not failed, f"{len(failed)} of {PER_KIND} (seed {SEED}):\n" + "\n".join(failed[:12])
