"""Generated requests for every kind of file: whatever the filer answers, tidegate answers, but for the list."""

import os

import pytest
from compare import Pair
from files import KINDS, Writer
from generate import Generator
from harness.line import Request
from regressions import CASES, Case

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


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join([case[0], case[1], case[2], *(v for _, v in case[3])]))
def test_what_once_failed(case: Case, writer: Writer, pairs: dict[str, Pair]) -> None:
    kind, method, query, headers = case
    file = writer.get(kind)
    pair = pairs[file.front]
    asked = Request(file.target + query, method, (*file.key_headers, *headers))
    assert not (what := pair.difference(asked, pair.known(file))), what


def test_the_filer_still_has_its_faults(writer: Writer, pairs: dict[str, Pair]) -> None:
    """Where the filer has been mended, the line goes from the list: a repair is only for what is broken there."""
    pair = pairs["plain"]
    target = writer.get("one-chunk").target
    etag = pair.known(writer.get("one-chunk")).etag

    def filer(*headers: tuple[str, str]) -> tuple[int, int]:
        reply = pair.filer.ask(Request(target, headers=headers))
        return reply.status, len(reply.body)

    assert filer(("Range", "bytes=-0")) == (206, 0)
    assert filer(("Range", "bytes=")) == (200, 0)
    assert filer(("Range", "bytes=--3"))[0] in (0, 206)
    assert filer(("Range", "bytes=0-,0-")) == (200, 0)
    assert filer(("If-None-Match", "*"))[0] == 200
    assert filer(("If-None-Match", f'"x", {etag}'))[0] == 200
    assert filer(("If-Range", '"x"'), ("Range", "bytes=0-0"))[0] == 206
    assert filer(("If-Modified-Since", pair.known(writer.get("one-chunk")).modified))[0] == 200
