"""Shows tidegate at work: a real SeaweedFS with encrypted objects, read back through tidegate, judged byte by byte.

Run it with `make demo`. In a terminal everything stays up until Ctrl-C, with curl lines to try. With DEMO_ONESHOT=1,
or without a terminal, it ends by itself: exit code 0, or 1 if a byte was wrong.
"""

import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests"))

from harness import Cluster, Front, Kms, ProcessFailed, Tidegate  # noqa: E402
from harness.process import Process  # noqa: E402

import screen  # noqa: E402
from samples import BUCKET, CUSTOMER_KEY, SIZE, samples  # noqa: E402
from verdict import RANGES, Verdict, judge  # noqa: E402

MIB = 1 << 20


def main() -> int:
    """Runs the demo and answers the exit code."""
    stays = sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("DEMO_ONESHOT") != "1"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    finished = False
    with ExitStack() as stack:
        root = _directory(stack)
        try:
            kms, cluster, front, gate = _start(stack, root)
            _upload(front, kms)
            verdicts = _read_back(gate, front)
            _report(verdicts)
            finished = True
            if stays:
                _stay(gate, front, [gate, front.gateway, front.filer, *cluster.volumes, cluster.master])
        except (ProcessFailed, FileNotFoundError) as error:
            screen.say(screen.painted(f"\n{error}", "red"))
            return 1
        except KeyboardInterrupt:
            screen.say()
            if not finished:
                return 130
        return 0 if all(verdict.right for verdict in verdicts) else 1


def _directory(stack: ExitStack) -> Path:
    """A directory for all data and logs, gone at the end."""
    (REPO / ".demo").mkdir(exist_ok=True)
    root = Path(tempfile.mkdtemp(dir=REPO / ".demo"))
    stack.callback(shutil.rmtree, root, ignore_errors=True)
    return root


def _start(stack: ExitStack, root: Path) -> tuple[Kms, Cluster, Front, Tidegate]:
    """Starts everything; the stack ends it in reverse."""
    screen.say(screen.painted("Starting, on free ports of 127.0.0.1", "bold"))
    with screen.step("KMS (moto)"):
        kms = Kms(root)
        stack.callback(kms.stop)
        kms.start()
    with screen.step("SeaweedFS: master and two volume servers"):
        cluster = Cluster(root, volumes=2, kms=kms)
        stack.callback(cluster.stop)
        cluster.start()
    with screen.step("SeaweedFS: filer and S3 gateway"):
        front = cluster.add_front("demo")
        front.s3.create_bucket(BUCKET)
    with screen.step("tidegate"):
        gate = Tidegate(root, {**front.tidegate_config(managed_keys="any"), "s3": {"gateway": [front.gateway.url]}})
        stack.callback(gate.stop, 2.0)
        gate.start()
    return kms, cluster, front, gate


def _upload(front: Front, kms: Kms) -> None:
    """Writes all samples through the S3 gateway."""
    screen.say(screen.painted("\nWriting objects through the S3 gateway", "bold"))
    everything = list(samples())
    for number, sample in enumerate(everything, 1):
        way = "in parts" if sample.multipart else "in one PUT"
        with screen.step(
            f"[{number}/{len(everything)}] {sample.name}: {SIZE // MIB} MiB, {sample.encryption.title}, {way}"
        ):
            sample.upload(front, kms)


def _read_back(gate: Tidegate, front: Front) -> list[Verdict]:
    """Reads all samples back, whole and in ranges, and by S3."""
    title = f"Reading them back through tidegate, whole, in {RANGES} ranges each, and by S3"
    screen.say(screen.painted(f"\n{title}", "bold"))
    verdicts = []
    everything = list(samples())
    for number, sample in enumerate(everything, 1):
        with screen.step(f"[{number}/{len(everything)}] {sample.name}"):
            verdicts.append(judge(sample, gate, front))
    return verdicts


def _report(verdicts: list[Verdict]) -> None:
    """Prints the table and its sum."""
    titles = ["object", "encryption", "bytes", "time", "MB/s", "whole", "ranges", "by S3", "the filer itself says"]
    screen.say()
    screen.table(titles, [_row(verdict) for verdict in verdicts], right={2, 3, 4})
    wrong = [verdict.sample.name for verdict in verdicts if not verdict.right]
    screen.say()
    if wrong:
        screen.say(screen.painted(f"  WRONG: {', '.join(wrong)}", "red"))
    else:
        screen.say(screen.painted(f"  All {len(verdicts)} objects came back right to the last byte.", "green"))


def _row(verdict: Verdict) -> list[screen.Cell]:
    sample = verdict.sample
    filer = "plaintext" if verdict.filer_plaintext else "ciphertext"
    head = "same ETag, size" if verdict.filer_same_head else "other ETag or size"
    return [
        (sample.name, ""),
        (sample.encryption.title, ""),
        (f"{verdict.bytes:,}", ""),
        (f"{verdict.seconds:.3f} s", ""),
        (f"{verdict.megabytes_per_second:,.0f}", "cyan"),
        ("right", "green") if verdict.whole_right else ("WRONG", "red"),
        (f"{verdict.ranges_right}/{RANGES}", "green" if verdict.ranges_right == RANGES else "red"),
        ("right", "green") if verdict.s3_right else ("WRONG", "red"),
        (f"{filer}, {head}", "" if verdict.filer_plaintext else "yellow"),
    ]


def _stay(gate: Tidegate, front: Front, processes: list[Process]) -> None:
    """Prints lines to try and waits for Ctrl-C, or for a server that ends."""
    everything = {sample.name: sample for sample in samples()}
    kms, ssec = everything["sse-kms"], everything["sse-c"]
    say, dim = screen.say, lambda text: screen.painted(text, "dim")
    say(screen.painted("\nEverything is still up. Try, in another terminal:", "bold"))
    say(dim(f"\n  # SSE-KMS through tidegate: {kms.payload.sha256()[:16]}..."))
    say(f"  curl -s {gate.object_url(BUCKET, kms.name)} | sha256sum")
    say(dim("\n  # The same from the filer: ciphertext, whose sum is another"))
    say(f"  curl -s {front.filer_url(BUCKET, kms.name)} | sha256sum")
    say(dim(f"\n  # SSE-C: the key comes with the request: {ssec.payload.sha256()[:16]}..."))
    say(f"  curl -s {gate.object_url(BUCKET, ssec.name)} \\")
    headers = [f"    -H '{name}: {value}'" for name, value in CUSTOMER_KEY.headers().items()]
    say(" \\\n".join(headers) + " | sha256sum")
    say(dim("\n  # The headers of a range"))
    say(f"  curl -s -r 1000000-1099999 -D - -o /dev/null {gate.object_url(BUCKET, kms.name)}")
    say(dim("\n  # By S3: the gateway allows it (here everybody may read), tidegate sends it"))
    say(f"  curl -s {gate.s3_url}/{BUCKET}/{kms.name} | sha256sum")
    say(dim("\n  # What tidegate did"))
    say(f"  curl -s {gate.admin_url}/metrics | grep ^tidegate_")
    say(f"\n  Configuration {gate.config_file}")
    say(f"  Logs          {gate.log.parent}")
    say(screen.painted("\nCtrl-C ends everything.", "bold"))
    while True:
        time.sleep(0.5)
        for process in processes:
            if not process.running:
                raise ProcessFailed(
                    f"{process.name} has ended with exit code {process.returncode}{process.last_lines()}"
                )


if __name__ == "__main__":
    sys.exit(main())
