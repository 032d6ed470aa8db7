"""Groups of filers on one store."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness import Cluster, Front


@contextmanager
def filers_of_one_store(root: Path) -> Iterator[list[Front]]:
    """Two filers of one group on one store (SQLite, in one file): what one writes the other has."""
    cluster = Cluster(root)
    store = f"{cluster.root}/filers.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)"
    (cluster.root / "filer.toml").write_text(f'[leveldb2]\nenabled = false\n\n[sqlite]\nenabled = true\ndbFile = "{store}"\n')
    with ExitStack() as stack:
        stack.callback(cluster.stop)
        cluster.start()
        yield [cluster.add_front(name, filerGroup="one-store", maxMB=1) for name in ("first", "second")]
