"""systemd's own journal for one program: a real systemd-journald in namespaces of the program's, and what it has kept."""

import json
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .process import ProcessFailed

JOURNALD = Path("/lib/systemd/systemd-journald")
# The shell becomes the program, whose standard output and error go to the journal. systemd sets the variable for services.
INSIDE = """
mount --bind {run} /run
setpriv --pdeathsig KILL {journald} >/run/journald.log 2>&1 &
until [ -S /run/systemd/journal/socket ]; do sleep 0.05; done
exec systemd-cat sh -c 'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$@"' sh {argv}
"""


def beside_a_journal(root: Path, argv: Sequence[str]) -> list[str]:
    """The arguments that run `argv` so. What the journal keeps is below `root`."""
    for program in ("unshare", "setpriv", "systemd-cat", "journalctl"):
        if not shutil.which(program):
            raise ProcessFailed(f"no {program}: install util-linux and systemd (Debian, Ubuntu)")
    for made in ("log/journal", "systemd/journald.conf.d"):
        (root / made).mkdir(parents=True)
    (root / "systemd/journald.conf.d/kept.conf").write_text("[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\n")
    text = INSIDE.format(run=shlex.quote(str(root)), journald=JOURNALD, argv=shlex.join(argv))
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-euc", text]


def entries(root: Path, *matches: str) -> list[dict[str, str]]:
    """What the journal has, as far as its fields match."""
    argv = ["journalctl", f"--directory={root}/log/journal", "--no-pager", "--quiet", "--output=json", *matches]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]
