"""The clients of a soak: they read and write all kinds of objects by both fronts, and compare each byte."""

import http.client
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from harness import CustomerKey, Encryption, Front, Payload, S3, Tidegate, request
from harness.s3 import sse_arguments
from tally import Tally

KIB, MIB = 1 << 10, 1 << 20
BUCKET = "soak"
KEY = CustomerKey.from_seed("soak")
SIZES = (4 * KIB, MIB + 1, 5 * MIB + 7, 24 * MIB)
PATIENCE = 100.0
"""Seconds without a byte after which a client gives up: longer than any deadline of tidegate's."""
PIECE = 64 * KIB


@dataclass(frozen=True)
class Thing:
    """One object, that nobody changes."""

    encryption: Encryption
    content: bytes

    @property
    def key(self) -> str:
        """Its name."""
        return f"{self.encryption.value}-{len(self.content)}"

    @property
    def headers(self) -> dict[str, str]:
        """What a request needs to read it."""
        return KEY.headers() if self.encryption is Encryption.SSE_C else {}


def write_all(front: Front) -> list[Thing]:
    """One of each encryption and size, written by S3 to the gateway itself."""
    front.s3.create_bucket(BUCKET)
    things = [Thing(kind, Payload(f"{kind.value}-{size}", size).bytes()) for kind in Encryption for size in SIZES]
    for thing in things:
        front.s3.put(BUCKET, thing.key, thing.content, **sse(front, thing.encryption))
    return things


def sse(front: Front, encryption: Encryption) -> dict[str, str]:
    """What boto3 is told."""
    assert front.kms is not None
    return sse_arguments(encryption, customer_key=KEY, kms_key_id=front.kms.key_id)


class Load:
    """All clients: threads that go on until `stop`."""

    def __init__(self, gate: Tidegate, front: Front, things: list[Thing], tally: Tally, seed: int) -> None:
        self.gate, self.front, self.things, self.tally, self.seed = gate, front, things, tally, seed
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, readers: int, writers: int) -> None:
        """So many readers at each front, and so many writers at each."""
        for number in range(readers):
            self._spawn(f"filer front, read {number}", self._read, self.gate.url + f"/buckets/{BUCKET}/")
            self._spawn(f"S3 front, read {number}", self._read, self.gate.s3_url + f"/{BUCKET}/")
        for number in range(writers):
            self._spawn(f"filer front, write {number}", self._write, self._put_by_filer)
            self._spawn(f"S3 front, write {number}", self._write, self._put_by_s3)

    def stop(self) -> None:
        """Each ends after what it is at. Raises RuntimeError where one has no end."""
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE + 30)
            if thread.is_alive():
                raise RuntimeError(f"{thread.name}: a request has no end")

    def _spawn(self, name: str, what: Callable[..., None], argument: object) -> None:
        kind = name.rpartition(" ")[0]
        chance = random.Random(f"{self.seed} {name}")
        self._threads.append(threading.Thread(target=what, args=(kind, chance, argument), name=name, daemon=True))
        self._threads[-1].start()

    def _read(self, kind: str, chance: random.Random, base: str) -> None:
        """Whole ones and ranges, one in four requests on a new connection."""
        parts = urlsplit(base)
        line = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)
        while not self._over.is_set():
            thing = chance.choice(self.things)
            first, end, headers = 0, len(thing.content), dict(thing.headers)
            if chance.random() < 0.5:
                first = chance.randrange(end)
                end = min(end, first + chance.randint(1, 3 * MIB))
                headers["Range"] = f"bytes={first}-{end - 1}"
            goes_on = self._one(line, kind, parts.path + thing.key, headers, thing.content[first:end])
            if not goes_on or chance.random() < 0.25:
                line.close()

    def _one(
        self, line: http.client.HTTPConnection, kind: str, path: str, headers: dict[str, str], wanted: bytes
    ) -> bool:
        """One read; whether the connection may be used again."""
        fault, begun, at, answered = self.tally.fault, time.monotonic(), 0, False
        what = f"{kind} {path} {headers.get('Range', 'whole')}"
        self.tally.asked(kind)
        try:
            line.request("GET", path, headers=headers)
            answer = line.getresponse()
            answered = True
            if answer.status not in (200, 206):
                answer.read()
                self.tally.refused(fault, kind, str(answer.status))
                self._over.wait(0.2)
                return True
            if answer.length != len(wanted):
                self.tally.is_wrong(f"{what}: {answer.length} bytes for {len(wanted)}")
                return False
            while piece := answer.read(PIECE):
                if piece != wanted[at : at + len(piece)]:
                    self.tally.is_wrong(f"{what}: other bytes in the piece at {at}")
                    return False
                at += len(piece)
                self.tally.received(len(piece))
            ended = "" if at == len(wanted) else "the connection ended"
        except (http.client.HTTPException, OSError) as error:
            if not answered:
                self.tally.refused(fault, kind, type(error).__name__)
                return False
            ended = repr(error)
        if ended:
            self.tally.is_cut(f"{what} after {at} of {len(wanted)}, {time.monotonic() - begun:.1f} s: {ended}", begun)
        return not ended

    def _write(self, kind: str, chance: random.Random, put: Callable[[str, bytes, Encryption], str]) -> None:
        """Writes a file again and again and reads it back. Where a write failed nobody knows what is there, and the next one
        is of a new file."""
        place, number, encryption = 0, 0, chance.choice(list(Encryption))
        while not self._over.wait(0.3):
            key = f"{threading.current_thread().name.replace(' ', '-').replace(',', '')}-{place}"
            number += 1
            content = Payload(f"{key}-{number}", chance.randint(1, 512 * KIB)).bytes()
            fault = self.tally.fault
            self.tally.asked(kind)
            if failed := put(key, content, encryption):
                self.tally.refused(fault, kind, failed)
                place, encryption = place + 1, chance.choice(list(Encryption))
                continue
            headers = KEY.headers() if put == self._put_by_s3 and encryption is Encryption.SSE_C else {}
            line = http.client.HTTPConnection(urlsplit(self.gate.url).netloc, timeout=PATIENCE)
            self._one(line, "read after write", f"/buckets/{BUCKET}/{key}", headers, content)
            line.close()

    def _put_by_filer(self, key: str, content: bytes, encryption: Encryption) -> str:
        """Why it failed, if it did."""
        try:
            status = request("PUT", f"{self.gate.url}/buckets/{BUCKET}/{key}", body=content, timeout=PATIENCE).status
        except (http.client.HTTPException, OSError) as error:
            return type(error).__name__
        return "" if status in (200, 201) else str(status)

    def _put_by_s3(self, key: str, content: bytes, encryption: Encryption) -> str:
        """The same; boto3 tries again by itself."""
        try:
            S3(self.gate.s3_url).put(BUCKET, key, content, **sse(self.front, encryption))
        except ClientError as error:
            return str(error.response["ResponseMetadata"]["HTTPStatusCode"])
        except BotoCoreError as error:
            return type(error).__name__
        return ""
