"""Generated reads of every kind of object in every encryption: whatever the gateway answers, tidegate answers."""

import os

import pytest

from reads import Generator
from harness import Encryption
from harness.line import Request
from harness.sigv import signed
from objects import KINDS, Writer
from people import ADMIN
from sides import Sides

SEED = os.environ.get("TIDEGATE_S3_SEED", "1")
PER_OBJECT = int(os.environ.get("TIDEGATE_S3_COUNT", "30"))


# The gateway cannot read what it makes of plain parts copied into SSE-C.
UNREADABLE = ("part-copied", Encryption.SSE_C)
ALL = [(kind, encryption) for kind in KINDS for encryption in Encryption if (kind, encryption) != UNREADABLE]


@pytest.mark.parametrize(("kind", "encryption"), ALL, ids=[f"{kind}-{encryption.title}" for kind, encryption in ALL])
def test_answers_are_the_gateways(kind: str, encryption: Encryption, writer: Writer, sides: Sides) -> None:
    made = writer.get(kind, encryption)
    plain = Request(made.target, headers=made.key_headers)
    known = sides.answer(signed(plain, ADMIN, sides.host))
    assert (known.status, known.body) == ((200, made.content) if made.content is not None else (404, known.body))
    generator = Generator(f"{SEED} {kind} {encryption}", made, sides.host, known.header("etag"), known.header("last-modified"))
    failed = []
    for request in generator.requests(PER_OBJECT):
        if what := sides.difference(request):
            failed.append(f"{request}\n  {what}")
    assert not failed, f"{len(failed)} of {PER_OBJECT} (seed {SEED}):\n" + "\n".join(failed[:12])
