"""Measure what Decrypt costs when a key has thousands of versions: `python tools/versions_speed.py [VERSIONS]`.

A service as `keystead bench` measures it gets one key of one version and one of VERSIONS. Blobs of the first, of the
second's current version and of random old ones are decrypted by turns under the same load; what is compared is the CPU
time of the worker for one operation, requests and audit and all. What other processes make of the audit comes in bursts
and knows nothing of versions, so it is left out.
"""

import random
import statistics
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from keystead.app.installation import Installation, SystemClock, local_secrets, system_random
from keystead.cli.bench import DEV, signed
from keystead.config import Config, Limits
from keystead.core.names import KeyReference
from keystead.core.principal import user_arn
from keystead.service.caller import Caller
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.identities import identify
from keystead.service.results.kms import Encrypted
from keystead.service.workingset import NotLoaded
from keystead.testing.bench.keystead import Keystead
from keystead.testing.bench.load import closed
from keystead.testing.bench.processes import cpu_seconds

VERSIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
ROUNDS, SECONDS, CONNECTIONS, DISTINCT = 15, 2.0, 64, 4096


def grow(data: Path, region: str, versions: int) -> dict[str, list[bytes]]:
    """Make the keys in the stopped service's data; blobs by what they are of."""
    config = Config(data=data, workers=1)
    config = replace(config, limits=Limits(rotations_on_demand=versions))
    secrets = local_secrets({})
    installation = Installation.open(config, secrets, SystemClock(), system_random)
    with closing(installation.post("w0")) as post:
        with post.store.view() as view:
            admin = view.principal(user_arn(installation.account, "admin"))
            if admin is None:
                raise SystemExit("the installation has no admin")
            caller = Caller(identify(view, admin), "", region, auth="internal")

        def ask(command: Command, number: int) -> Any:  # noqa: ANN401 - each command has a result of its own
            caller.request = f"versions-{number}"
            return post.gate.ask(caller, command).outcome()

        def seal(key: KeyReference) -> bytes:
            while True:
                try:
                    answer = post.gate.handle(caller, c.Encrypt(key, b"x" * 32))
                except NotLoaded as missing:
                    post.gate.working.admit(post.gate.working.load(missing.wanted))
                    continue
                post.gate.settle([answer])
                return cast("Encrypted", answer.outcome()).blob

        one, many = (KeyReference(ask(c.CreateKey(), n).key.id) for n in (0, 1))
        old = []
        for number in range(2, versions + 1):
            old.append(seal(many))
            ask(c.RotateKeyOnDemand(many), number)
            post.gate.working.catch_up()
            if number % 1000 == 0:
                print(f"  {number} versions", flush=True)
        return {
            "one version": [seal(one) for _ in range(DISTINCT)],
            "current of many": [seal(many) for _ in range(DISTINCT)],
            "random old ones": random.sample(old, min(DISTINCT, len(old))),
        }


def main() -> None:
    """Print the cost of each kind of blob and its ratio to a key of one version."""
    with tempfile.TemporaryDirectory(prefix="keystead-versions-", dir=".") as base:
        service = Keystead(DEV, Path(base), signed, workers=1)
        try:
            service.stop()
            blobs = grow(Path(base) / "data", service.settings["AWS_REGION"], VERSIONS)
            service.start()
            loads = {name: service.opening((those * DISTINCT)[:DISTINCT]) for name, those in blobs.items()}
            costs: dict[str, list[float]] = {name: [] for name in loads}
            children = Path(f"/proc/{service.server.pid}/task/{service.server.pid}/children").read_text()
            worker = int(children.split()[0])
            for turn in range(-1, ROUNDS):  # the first is for the caches
                for name, those in loads.items():
                    before = cpu_seconds(worker)
                    load = closed(service.address, those, connections=CONNECTIONS, seconds=SECONDS)
                    if load.errors:
                        raise SystemExit(f"{name}: {dict(load.errors)}")
                    if turn >= 0:
                        costs[name].append((cpu_seconds(worker) - before) / load.done * 1e6)
        finally:
            service.stop()
    base_cost = statistics.median(costs["one version"])
    for name, values in costs.items():
        middle = statistics.median(values)
        print(f"{name:16} {middle:6.1f} us   {(middle / base_cost - 1) * 100:+5.1f} %")


if __name__ == "__main__":
    main()
