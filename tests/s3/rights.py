"""Policies, identities and requests made from a seed: whoever may read what, in every way that it can be said."""

import random
from dataclasses import dataclass, replace

from bucket import KEYS, PUBLIC, TAG, TAGGED, Bucket
from harness.line import Pair, Request
from harness.sigv import ANONYMOUS, Identity, presigned, presigned_v2, signed, signed_v2
from people import ADMIN, LIMITED, NOBODY, READER, STRANGER

Statement = dict[str, object]

ACTIONS: list[object] = [
    "s3:GetObject", "s3:GetObject", "s3:GetObject", "s3:Get*", "s3:*", "s3:GetObjectVersion", "s3:PutObject", "s3:ListBucket",
    ["s3:GetObject", "s3:GetObjectVersion"], ["s3:GetObjectTagging", "s3:GetObject"], "s3:GetObjectTagging", "s3:getobject",
]  # fmt: skip
RESOURCES = ["*", "*", "public/*", "private/*", "public/a", "public/t*", "p*/a", "*a", "${aws:username}/*", "public/?", "none/*"]
USER = "arn:aws:iam::000000000000:user/"
PRINCIPALS: list[object] = [
    "*", "*", {"AWS": "*"}, {"AWS": f"{USER}reader"}, {"AWS": f"{USER}nobody"}, {"AWS": [f"{USER}limited", f"{USER}nobody"]},
    {"AWS": f"{USER}*"}, {"AWS": "nobody"}, {"AWS": "arn:aws:sts::000000000000:assumed-role/Reading/tests"},
]  # fmt: skip
REFERERS = ["https://harbour.example/a", "https://other.example/"]
AGENTS = ["boat/1", "car/2"]
ADDRESSES = ["203.0.113.7", "198.51.100.9", "127.0.0.1"]
TAG_CONDITIONS: list[dict[str, object]] = [
    {"StringEquals": {f"s3:ExistingObjectTag/{TAG[0]}": TAG[1]}},
    {"StringNotEquals": {f"s3:ExistingObjectTag/{TAG[0]}": TAG[1]}},
    {"StringLike": {f"s3:ExistingObjectTag/{TAG[0]}": "y*"}},
    {"Null": {f"s3:ExistingObjectTag/{TAG[0]}": "true"}},
    {"Null": {f"s3:ExistingObjectTag/{TAG[0]}": "false"}},
    {"StringEquals": {"s3:ExistingObjectTag/other": "x"}},
]
CONDITIONS: list[dict[str, object]] = [
    *TAG_CONDITIONS,
    {"StringLike": {"aws:Referer": "https://harbour.example/*"}},
    {"StringNotLike": {"aws:Referer": "https://harbour.example/*"}},
    {"Null": {"aws:Referer": "true"}},
    {"StringLike": {"aws:UserAgent": "boat/*"}},
    {"Null": {"aws:UserAgent": "true"}},
    {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}},
    {"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}},
    {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}},
    {"Bool": {"aws:SecureTransport": "true"}},
    {"Bool": {"aws:SecureTransport": "false"}},
    {"StringEquals": {"aws:username": "nobody"}},
    {"StringEquals": {"s3:authType": "REST-HEADER"}},
    {"StringEquals": {"s3:authType": "REST-QUERY-STRING"}},
    {"StringEquals": {"s3:RequestMethod": "GET"}},
    {"StringEquals": {"s3:x-amz-checksum-mode": "ENABLED"}},
    {"Null": {"s3:x-amz-checksum-mode": "true"}},
    {"Null": {"s3:x-amz-content-sha256": "true"}},
    {"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}},
    {"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}},
]
HEADERS: list[Pair] = [
    *(("Referer", value) for value in REFERERS), *(("User-Agent", value) for value in AGENTS),
    *(("X-Forwarded-For", value) for value in ADDRESSES), ("X-Real-Ip", ADDRESSES[0]), ("X-Forwarded-Proto", "https"),
    ("x-amz-checksum-mode", "ENABLED"), ("Accept-Encoding", "gzip"), ("Origin", "https://harbour.example"),
    ("X-SeaweedFS-Principal", f"{USER}admin"), ("Cookie", "AT=x"), ("Expect", "100-continue"),
    ("X-Forwarded-For", "203.0.113.7, 127.0.0.1"), ("x-amz-meta-tag", "x"), ("Cache-Control", "no-cache"),
]  # fmt: skip
RANGES = ["bytes=0-0", "bytes=0-99", "bytes=70000-", "bytes=-5", "bytes=70001-", "bytes=1-2,4-5", "bytes=x"]
QUERIES = ["", "", "", "", "", "partNumber=1", "response-content-type=a%2Fb", "x=1", "versionId=null", "tagging", "acl"]


@dataclass(frozen=True)
class Asked:
    """A request, and by whom."""

    who: str
    request: Request

    def __str__(self) -> str:
        return f"{self.who}: {self.request}"


class Rights:
    """What is tried on some buckets. `session` is somebody in a role."""

    def __init__(self, seed: str, buckets: list[Bucket], session: Identity) -> None:
        self.random = random.Random(seed)
        self.buckets = buckets
        self.people = [ANONYMOUS, ANONYMOUS, NOBODY, NOBODY, READER, READER, LIMITED, ADMIN, STRANGER, session]

    def statements(self, bucket: Bucket) -> list[Statement]:
        """The statements of a policy. Often much is allowed, and something taken out again by a tag."""
        pick = self.random
        made = [self.statement(bucket) for _ in range(pick.choice([1, 1, 2, 2, 3, 4]))]
        if pick.random() < 0.35:
            made = made[: pick.choice([0, 1])]
            made.append(bucket.statement("Allow", Action="s3:Get*"))
            made.append(bucket.statement("Deny", Action="s3:Get*", Condition=pick.choice(TAG_CONDITIONS)))
        return made

    def statement(self, bucket: Bucket) -> Statement:
        """One of them."""
        pick = self.random
        made: Statement = {"Effect": pick.choice(["Allow", "Allow", "Deny"]), "Principal": pick.choice(PRINCIPALS)}
        made["Action"] = pick.choice(ACTIONS)
        resource = f"arn:aws:s3:::{bucket.name}/{pick.choice(RESOURCES)}"
        if pick.random() < 0.08:
            made |= {"NotResource": resource, "Action": "s3:GetObject"}  # more would shut the administrator out
        else:
            made["Resource"] = resource
        if pick.random() < 0.6:
            chosen = pick.sample(CONDITIONS, pick.choice([1, 1, 2]))
            made["Condition"] = {operator: keys for condition in chosen for operator, keys in condition.items()}
        return made

    def asked(self, bucket: Bucket) -> Asked:
        """One request for something in a bucket, mostly."""
        pick = self.random
        key = pick.choice([*KEYS, *KEYS, *KEYS, PUBLIC, TAGGED, "public/none"])
        query = pick.choice(QUERIES)
        if bucket.versions and pick.random() < 0.4:
            query = f"versionId={bucket.versions.get(key, 'null')}"
        headers = pick.sample(HEADERS, pick.choice([0, 0, 1, 1, 2, 3]))
        if pick.random() < 0.35:
            headers.append(("Range", pick.choice(RANGES)))
        if pick.random() < 0.15:
            headers.append((pick.choice(["If-None-Match", "If-Match", "If-Range"]), pick.choice(['"other"', "*", '"x", *'])))
        method = pick.choices(["GET", "HEAD"], [90, 10])[0]
        who = pick.choice(self.people)
        bare = Request(f"/{bucket.name}/{key}" + (f"?{query}" if query else ""), method, tuple(headers))
        return Asked(who.name, self.altered(self.said(bare, who, bucket.sides.host)))

    def said(self, request: Request, who: Identity, host: str) -> Request:
        """The request as somebody sends it."""
        pick = self.random
        if who is ANONYMOUS:
            return request
        loose = [name for name, _ in request.headers if not name.lower().startswith("x-amz-")]
        match pick.randrange(8):
            case 0 | 1:
                return signed(request, who, host, unsigned=loose)
            case 2:
                return presigned(request, who, host, also_signed=dict(request.headers))
            case 3:
                return presigned(request, who, host)
            case 4:
                return pick.choice([signed_v2, presigned_v2])(request, who, host)
            case 5:
                extra = pick.choice([("If-None-Match", "*"), ("Range", "bytes=0-0"), ("X-Forwarded-For", "127.0.0.1")])
                return pick.choice([signed, presigned])(request, who, host, also_signed=dict([extra]))
            case _:
                return signed(request, who, host)

    def altered(self, request: Request) -> Request:
        """The same, now and then with something changed after it was signed."""
        pick = self.random
        if pick.random() > 0.12:
            return request
        match pick.randrange(5):
            case 0:
                return request.having("Range", pick.choice(RANGES))
            case 1:
                return request.having("If-None-Match", pick.choice(["*", '"x"']))
            case 2:
                return replace(request, target=request.target + ("&" if "?" in request.target else "?") + "versionId=null")
            case 3:
                return request.having(*pick.choice(HEADERS))
            case _:
                return replace(request, target=request.target.replace(PUBLIC, TAGGED))
