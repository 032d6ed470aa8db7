"""Requests that were once answered otherwise than the filer answers them: asked at every run, whatever the seed.

Each is the kind of file, method, query and headers. What the generated requests find is added here when it is mended.
"""

Case = tuple[str, str, str, tuple[tuple[str, str], ...]]

CASES: list[Case] = [
    # A 416 carries the headers of the file.
    ("one-chunk", "GET", "", (("Range", "bytes=70001-"),)),
    ("one-chunk", "GET", "?response-cache-control=no-store", (("Range", "bytes=a-b"),)),
    ("with-headers", "GET", "?dl=true", (("Range", "bytes=5-3"), ("Origin", "https://harbour.example"))),
    ("with-content-encoding", "GET", "", (("Range", "bytes=99999-"),)),
    ("sse-s3-small", "GET", "", (("Range", "bytes=777-"),)),
    # Access-Control-Expose-Headers came twice.
    ("tagged", "GET", "", (("Origin", "https://harbour.example"),)),
    ("tagged", "HEAD", "", (("Origin", "null"),)),
    ("tagged", "GET", "", (("Origin", "null"), ("Range", "bytes=1-2,4-5"))),
    # The answer to a HEAD of nothing has no length.
    ("missing", "HEAD", "", ()),
    ("deleted", "HEAD", "?dl=true", (("Range", "bytes=0-1"),)),
    ("below-a-file", "HEAD", "", ()),
    # Several ranges were answered with the whole file.
    ("many-chunks", "GET", "", (("Range", "bytes=1048570-1048580,0-0,-5"),)),
    ("sealed-chunks", "GET", "", (("Range", "bytes=2097100-2097160, 5-6"),)),
    ("nested-manifest", "GET", "", (("Range", "bytes=1996-2005,8000-8010,1990-2000"),)),
    ("five-gib-sparse", "GET", "", (("Range", "bytes=4294967290-4294967300,0-5,-3"),)),
    ("all-hole", "GET", "", (("Range", "bytes=0-0,299999-"),)),
    ("inline", "GET", "", (("Range", "bytes=0-5,99-101"),)),
    # Faults of the filer's: each is on the list of differences.
    ("empty", "GET", "", (("Range", "bytes=-1"),)),
    ("one-chunk", "GET", "", (("Range", "bytes=-0"),)),
    ("one-chunk", "GET", "", (("Range", "bytes=0-1,-0"),)),
    ("one-chunk", "GET", "", (("Range", "bytes="),)),
    ("one-chunk", "GET", "", (("Range", "bytes=--3"),)),
    ("symlink", "GET", "", (("Range", "bytes=--3"),)),
    ("one-chunk", "GET", "", (("Range", "bytes=0-,0-"),)),
    ("one-chunk", "GET", "", (("If-None-Match", "*"),)),
    ("one-chunk", "GET", "", (("If-Match", "*"), ("Range", "bytes=1-2"))),
    ("one-chunk", "GET", "", (("If-None-Match", '"a", "b"'),)),
    ("one-chunk", "GET", "", (("If-Range", '"another"'), ("Range", "bytes=1-2"))),
]
