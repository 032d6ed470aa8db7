"""Every deliberate difference between tidegate's answers and the filer's: this is the one list of them.

docs/differences.md shows it, with the reason for each. There are three kinds. A *repair* is for a request that the
filer answers wrongly: it names another request, of which the filer's answer is the right one for the first. A
*presentation* changes the filer's answer into the one that tidegate gives. The last kind is shown by a test of its own. What none covers must be the same to
the byte, so each entry here says exactly what is answered instead.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import formatdate, parsedate_to_datetime

from files import File
from harness.line import DROPPED, Reply, Request

MAX_PARTS = 128


@dataclass(frozen=True)
class Known:
    """What is known of a file beside the request: what the filer answers to a HEAD of it without conditions."""

    file: File
    size: int
    etag: str
    modified: str
    content_type: str
    recorded_type: str
    is_file: bool


Repair = Callable[[Request, Known], Request]
Presentation = Callable[[Request, Known, Reply], Reply]


@dataclass(frozen=True)
class Difference:
    """One line of the list: its name in docs/differences.md, and what it does, or the test that shows it."""

    name: str
    repair: Repair | None = None
    present: Presentation | None = None
    shown_by: str = ""


ALL: list[Difference] = []


def repair(name: str) -> Callable[[Repair], Repair]:
    """Adds a repair to the list."""

    def add(function: Repair) -> Repair:
        ALL.append(Difference(name, repair=function))
        return function

    return add


def presentation(name: str) -> Callable[[Presentation], Presentation]:
    """Adds a presentation to the list."""

    def add(function: Presentation) -> Presentation:
        ALL.append(Difference(name, present=function))
        return function

    return add


def listed_ranges(header: str, size: int) -> list[tuple[int, int]] | None:
    """The ranges of a well-formed header that overlap the file, ends exclusive; None: not well-formed, or one is
    outside of what the filer takes."""
    if not header.startswith("bytes="):
        return None
    found = []
    for spec in header[6:].split(","):
        spec = spec.strip(" \t")
        if not spec:
            continue
        match = re.fullmatch(r"(\+?\d*)[ \t]*-[ \t]*(\+?\d*)", spec)
        if not match or spec.strip(" \t") == "-":
            return None
        first, last = match[1], match[2]
        if int(first or 0) > 2**63 - 1 or (int(first or 0) < size and int(last or 0) > 2**63 - 1):
            return None
        if not first:
            found.append((max(size - int(last), 0), size))
        elif int(first) >= size:
            found.append((size, size))
        elif last and int(last) < int(first):
            return None
        else:
            found.append((int(first), min(int(last) + 1, size) if last else size))
    return found


def several(request: Request, known: Known) -> list[tuple[int, int]]:
    """The ranges that are answered in parts of their own; empty unless there are at least two."""
    if request.method != "GET" or not known.is_file:
        return []
    ranges = [pair for pair in listed_ranges(request.first("range"), known.size) or [] if pair[0] < pair[1]]
    return ranges if len(ranges) > 1 else []


# Preconditions


def tags_of(header: str) -> list[tuple[bool, str]]:
    """The entity tags of a list: weak or not, and what they say. A bare word is taken as a tag, as the filer does."""
    found = []
    for weak, quoted, bare in re.findall(r'(W/(?="))?(?:"([^"]*)"|([^",\s][^,]*))', header):
        found.append((bool(weak), quoted or bare.strip().strip('"')))
    if not found and header.strip(" ,"):
        found.append((False, header.strip(' ,"')))
    return found or ([(False, "")] if '""' in header else [])


def date_of(header: str) -> float | None:
    """A date in the form of RFC 9110, in seconds; None: not one."""
    try:
        if formatdate(stamp := parsedate_to_datetime(header).timestamp(), usegmt=True) == header:
            return stamp
    except (ValueError, TypeError):
        pass
    return None


@repair("entity-tags")
def entity_tags(request: Request, known: Known) -> Request:
    mine = known.etag.strip('"')
    if not known.is_file:
        return request
    for name, weak_counts in (("If-Match", False), ("If-None-Match", True)):
        header = request.first(name)
        if not header:
            continue
        matches = header.strip() == "*" or any(
            tag == mine and (weak_counts or not weak) for weak, tag in tags_of(header) if mine
        )
        request = request.having(name, known.etag if matches else '"tidegate: none of these"')
    return request


@repair("dates-in-whole-seconds")
def whole_seconds(request: Request, known: Known) -> Request:
    for name in ("If-Modified-Since", "If-Unmodified-Since"):
        if known.is_file and known.modified and request.first(name) == known.modified:
            later = parsedate_to_datetime(known.modified).timestamp() + 1
            request = request.having(name, formatdate(later, usegmt=True))
    return request


@repair("if-range")
def if_range(request: Request, known: Known) -> Request:
    header = request.first("If-Range")
    if not header or not known.is_file:
        return request
    request = request.without("If-Range")
    if (stamp := date_of(header)) is not None:
        same = bool(known.modified) and stamp == date_of(known.modified)
    else:
        tags = tags_of(header)
        same = len(tags) == 1 and tags[0] == (False, known.etag.strip('"')) and bool(known.etag)
    return request if same else request.without("Range")


# Ranges


@repair("suffix-of-nothing")
def suffix_of_nothing(request: Request, known: Known) -> Request:
    if request.method != "GET" or not known.is_file:
        return request
    ranges = listed_ranges(request.first("range"), known.size)
    if not ranges:
        return request
    left = [pair for pair in ranges if pair[0] < pair[1]]
    if not left:
        return request.having("Range", f"bytes={known.size}-")
    if len(left) < len(ranges):
        return request.having("Range", "bytes=" + ",".join(f"{first}-{end - 1}" for first, end in left))
    return request


@repair("suffix-below-zero")
def suffix_below_zero(request: Request, known: Known) -> Request:
    return request.having("Range", "bytes=x") if request.first("range") == "bytes=--3" else request


@repair("range-of-no-range")
def no_range(request: Request, known: Known) -> Request:
    header = request.first("range")
    return request.without("Range") if header.startswith("bytes=") and not header[6:].strip(" \t,") else request


@repair("more-than-the-file")
def more_than_the_file(request: Request, known: Known) -> Request:
    ranges = several(request, known)
    return request.without("Range") if sum(end - first for first, end in ranges) > known.size else request


@repair("too-many-ranges")
def too_many(request: Request, known: Known) -> Request:
    return request.without("Range") if len(several(request, known)) > MAX_PARTS else request


# How an answer looks


@presentation("boundary")
def boundary(request: Request, known: Known, reply: Reply) -> Reply:
    match = re.fullmatch(r"multipart/byteranges; boundary=([0-9a-f]{60})", reply.header("content-type"))
    if reply.status != 206 or not match:
        return reply
    body = reply.body.replace(b"--" + match[1].encode(), b"--BOUNDARY")
    return replace(reply, headers={**reply.headers, "content-type": ["multipart/byteranges; BOUNDARY"]}, body=body)


@presentation("length-of-encoded-parts")
def length_of_encoded(request: Request, known: Known, reply: Reply) -> Reply:
    if reply.status != 206 or "BOUNDARY" not in reply.header("content-type") or "content-length" in reply.headers:
        return reply
    sent = len(reply.body) + (60 - len("BOUNDARY")) * reply.body.count(b"--BOUNDARY")
    return replace(reply, headers={**reply.headers, "content-length": [str(sent)]})


@presentation("type-of-parts")
def type_of_parts(request: Request, known: Known, reply: Reply) -> Reply:
    if reply.status != 206 or not known.is_file or "BOUNDARY" not in reply.header("content-type") or known.recorded_type:
        return reply
    named = b"\r\nContent-Type: application/octet-stream\r\n\r\n"
    body = reply.body.replace(b"\r\nContent-Type: \r\n\r\n", named)
    length = int(reply.header("content-length") or 0) + len(body) - len(reply.body)
    return replace(reply, headers={**reply.headers, "content-length": [str(length)]}, body=body)


@presentation("order-of-exposed-headers")
def order_of_exposed(request: Request, known: Known, reply: Reply) -> Reply:
    names = reply.header("access-control-expose-headers").split(",")
    if len(names) < 2:
        return reply
    last = [name for name in names if name == "Content-Disposition"]
    ordered = ",".join(sorted(name for name in names if name not in last) + last)
    return replace(reply, headers={**reply.headers, "access-control-expose-headers": [ordered]})


@presentation("server")
def server(request: Request, known: Known, reply: Reply) -> Reply:
    return without(reply, "server")


@presentation("request-id")
def request_id(request: Request, known: Known, reply: Reply) -> Reply:
    return without(reply, "x-amz-request-id")


@presentation("decrypted")
def decrypted(request: Request, known: Known, reply: Reply) -> Reply:
    """Plaintext in the place of what is stored, and the headers that the S3 gateway gives."""
    plain = known.file.plaintext
    if plain is None or request.method == "OPTIONS":
        return reply
    echo = {name: values for name, values in reply.headers.items() if name.startswith("x-amz-server-side-encryption")}
    reply = without(reply, *echo)
    if reply.status == 200 and request.method == "GET" and "metadata=true" not in request.target:
        return replace(reply, body=plain)
    if reply.status == 206:
        return replace(reply, body=with_ranges(request, known, reply, plain))
    return reply


def with_ranges(request: Request, known: Known, reply: Reply, plain: bytes) -> bytes:
    """The body of a 206, with the file's bytes taken from `plain`."""
    if match := re.fullmatch(r"bytes (\d+)-(\d+)/\d+", reply.header("content-range")):
        return plain[int(match[1]) : int(match[2]) + 1]
    body, at = b"", 0
    for head in re.finditer(rb"(?:\r\n)?--BOUNDARY\r\nContent-Range: bytes (\d+)-(\d+)/\d+\r\n[^\r]*\r\n\r\n", reply.body):
        if head.start() < at:
            continue
        first, end = int(head[1]), int(head[2]) + 1
        body += head[0] + plain[first:end]
        at = head.end() + end - first
    return body + b"\r\n--BOUNDARY--\r\n"


@presentation("redacted-metadata")
def redacted(request: Request, known: Known, reply: Reply) -> Reply:
    """In JSON, null and blanks in the place of what could open an object."""
    if not reply.header("content-type").startswith("application/json"):
        return reply

    def hide(match: re.Match[bytes]) -> bytes:
        return match[1] + b"null".ljust(len(match[2]))

    secrets = rb'(?i)("(?:x-seaweedfs-sse-[^"]*|sse_metadata|cipher_key)":\s*)("[^"]*")'
    return replace(reply, body=re.sub(secrets, hide, reply.body))


@presentation("no-shared-caches")
def no_shared_caches(request: Request, known: Known, reply: Reply) -> Reply:
    """Of what a customer's key opens: who may keep it, and for whom. The generated requests ask for no other directive."""
    if not known.file.key_headers or request.method == "OPTIONS" or "metadata=true" in request.target:
        return reply
    named = ", ".join(sorted(name.lower() for name, _ in known.file.key_headers))
    return replace(reply, headers={**reply.headers, "cache-control": ["no-store"], "vary": [named]})


@presentation("dropped-relays")
def dropped(request: Request, known: Known, reply: Reply) -> Reply:
    """Of what is relayed: an error in the place of a connection that is closed without an answer."""
    ours = reply.status == 502 and b"closed the connection without an answer" in reply.body
    return Reply(502) if known.file.relayed and (ours or reply.status == DROPPED) else reply


# What generated requests do not meet


ALL += [
    Difference("error-bodies", shown_by="test_errors_name_the_culprit"),
    Difference("no-ciphertext", shown_by="test_ciphertext_never_goes_out"),
    Difference("unreadable-chunks", shown_by="test_an_unreadable_chunk_is_an_error"),
    Difference("broken-bodies", shown_by="test_a_body_that_breaks_off_cuts_the_connection"),
    Difference("short-content", shown_by="test_short_content"),
    Difference("content-and-chunks", shown_by="test_content_that_was_appended_to_by_chunks"),
    Difference("cut-manifests", shown_by="test_what_was_cut_off_a_file_with_manifests_does_not_come_back"),
    Difference("impossible-sizes", shown_by="test_a_size_that_no_file_has"),
    Difference("dates-that-are-none", shown_by="test_a_date_that_is_none"),
    Difference("dates-out-of-range", shown_by="test_a_file_of_before_1970"),
    Difference("negative-offsets", shown_by="test_a_chunk_before_the_file"),
    Difference("control-bytes", shown_by="test_control_bytes_in_headers"),
    Difference("fragments", shown_by="test_fragments"),
    Difference("raw-characters", shown_by="test_raw_characters"),
    Difference("size-of-headers", shown_by="test_the_size_of_headers"),
    Difference("half-closed-connections", shown_by="test_a_client_that_has_said_all_it_will_say_is_gone"),
    Difference("deleted-needles", shown_by="test_deleted_but_not_yet_vacuumed"),
    Difference("too-many-parameters", shown_by="test_a_query_that_the_filer_would_not_read_is_refused"),
    Difference("many-attributes", shown_by="test_an_entry_with_more_attributes_than_headers_can_be_is_served"),
    Difference("large-manifests", shown_by="test_a_manifest_of_millions_of_empty_chunks_is_refused"),
    Difference("tag-of-some-chunks", shown_by="test_sealed_chunks_without_digests_do_not_join_two_versions"),
    Difference("tag-of-nothing", shown_by="test_an_empty_tag_is_not_that_of_a_file_without_one"),
    Difference("access-before-conditions", shown_by="test_what_may_not_be_read_is_not_described"),
    Difference("vary", shown_by="test_a_cache_is_told_of_the_origin"),
    Difference("sealed-sizes", shown_by="test_a_sealed_file_with_other_sizes_than_what_was_sealed_is_served"),
]


def without(reply: Reply, *names: str) -> Reply:
    """The same answer without some headers."""
    return replace(reply, headers={name: values for name, values in reply.headers.items() if name not in names})


def presented_alike(reply: Reply, dropped: tuple[str, ...]) -> Reply:
    """An answer without what differs in every answer."""
    if exposed := reply.header("access-control-expose-headers"):
        ordered = ",".join(sorted(exposed.split(",")))
        reply = replace(reply, headers={**reply.headers, "access-control-expose-headers": [ordered]})
    return without(reply, "server", "x-amz-request-id", *dropped)
