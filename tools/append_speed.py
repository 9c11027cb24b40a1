"""Measure what the audit costs a worker: `python tools/append_speed.py [DIRECTORY]`.

An installation in DIRECTORY (a real disk, please; the default is the current one) gets its worker's log, with the index
of uses that follows it, and records as the gate makes them: encoded, appended and committed, at the pace of a busy
worker. What is shown is processor time per record, system calls included: that of the thread that answers, and that
of the threads that write tiles and the index meanwhile. How long the disk takes is not in it. A batch is what a worker
settles at once: about as many records as it has busy connections.
"""

import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from keystead.app.installation import Installation, SystemClock, found, local_secrets, system_random
from keystead.config import Config
from keystead.service.entry import OK, Entry, encode, used

BATCHES = {1: 5_000, 16: 50_000, 32: 50_000, 64: 50_000}  # records to a batch, and in a round
ROUNDS = 5
A_SECOND = 20_000  # records, of a busy worker
ACCOUNT = "111122223333"


def entry(number: int) -> Entry:
    """What the gate would write down of one Decrypt."""
    return Entry(
        access_key="AKIA0123456789ABCDEF",
        account=ACCOUNT,
        action="kms:Decrypt",
        auth="sigv4",
        ciphertext=f"{number:064x}",
        context=f"{number % 100:064x}",
        decided_by="key-policy",
        decision="Allow",
        epoch=17,
        key=f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-{number % 100:012}",
        matched=("key-policy:7:EnableRoot", "identity-policy:3:Use"),
        outcome=OK,
        principal=f"arn:aws:iam::{ACCOUNT}:user/app-{number % 20}",
        region="eu-central-1",
        request=f"12345678-1234-1234-1234-{number:012}",
        source="203.0.113.5",
        statement="EnableRoot",
        time=1_700_000_000_000_000 + number,
        v=1,
        version=1,
    )


def main() -> None:
    """Print a line for each size of batch."""
    place = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    with tempfile.TemporaryDirectory(prefix="keystead-append-", dir=place) as base:
        config = Config(data=Path(base) / "data", workers=1)
        secrets, clock = local_secrets({}), SystemClock()
        found(config, "file", secrets, clock, system_random, path=str(Path(base) / "root.key"))
        installation = Installation.open(config, secrets, clock, system_random)
        with closing(installation.post("w0")) as post:
            log = post.log
            for batch, count in BATCHES.items():
                alone, helped = [], []
                for _ in range(ROUNDS):
                    entries = [entry(number) for number in range(count)]
                    began, whole, own = time.monotonic(), time.process_time(), time.thread_time()
                    for first in range(0, count, batch):
                        for one in entries[first : first + batch]:
                            log.append(encode(one), used(one))
                        log.commit()
                        if first % A_SECOND < batch:
                            log.tend()
                            time.sleep(max(0.0, began + first / A_SECOND - time.monotonic()))
                    log.tend()
                    own = time.thread_time() - own
                    alone.append(own / count * 1e6)
                    helped.append((time.process_time() - whole - own) / count * 1e6)
                print(
                    f"{batch:3} records of {len(encode(entry(0)))} bytes to a batch: "
                    f"{statistics.median(alone):6.2f} us a record, {statistics.median(helped):5.2f} us beside it"
                )


if __name__ == "__main__":
    main()
