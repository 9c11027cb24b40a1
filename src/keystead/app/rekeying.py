"""Replacing the key that signs the audit's checkpoints, on the data directory, also while the service runs.

Whoever may do this has opened the root key with a seal slot's secret. It is on record in the audit log ``operator``
and, with the new verifier key, in every log: by its own process a moment later, or here if no process has it open.
"""

import os
from contextlib import closing
from typing import Final, NamedTuple

from keystead import store
from keystead.app import auditkeys
from keystead.app.auditkeys import SERVICE_ACCOUNT
from keystead.app.installation import Installation
from keystead.audit import logkeys
from keystead.config import Config
from keystead.core.errors import KeysteadError
from keystead.core.ports import Clock, Random
from keystead.custody.seals import SecretSource
from keystead.service.entry import OK, Entry, encode

LOG: Final = "operator"
ROTATE: Final = "keystead:RotateAuditKey"


class Rotated(NamedTuple):
    """A key and the one that follows it."""

    old: str
    new: str
    number: int  # of the new one


def rotate(
    config: Config, secrets: SecretSource, clock: Clock, random: Random, *, overlap_seconds: float
) -> Rotated:
    """Make a new key sign the checkpoints; for ``overlap_seconds`` the old one signs beside it."""
    installation = Installation.open(config, secrets, clock, random)
    old = installation.log_keys()().signers[0]
    key = random(32)
    new = auditkeys.signer(installation.instance, key)
    request = f"audit-key-{random(12).hex()}"
    entry = Entry(
        account=installation.account,
        action=ROTATE,
        auth="local",
        principal=f"local:uid={os.getuid()}",
        request=request,
        stage="intent",
        subject=new.vkey,
        time=int(clock.now() * 1e6),
        v=1,
    )
    protect = installation.custodian.protect
    with closing(installation.log(LOG)) as log, closing(store.connect(config.store)) as opened:
        installation.finish(log, opened)
        log.append(encode(entry))
        log.commit()
        entry.stage = "outcome"
        try:
            with opened.transact(request) as tx:
                before = tx.setting(auditkeys.KEY) or ""
                statements = logkeys.decode((tx.setting(auditkeys.STATEMENTS) or auditkeys.EMPTY).encode())
                number = len(statements) + 2
                said = logkeys.introduce(old, new, number, int(clock.now()))
                settings = {
                    auditkeys.KEY: protect(SERVICE_ACCOUNT, key, auditkeys.LABEL),
                    auditkeys.VKEY: new.vkey,
                    auditkeys.BEFORE: before if overlap_seconds > 0 else "",
                    auditkeys.UNTIL: str(clock.now() + overlap_seconds),
                    auditkeys.STATEMENTS: logkeys.encode([*statements, said]).decode(),
                }
                for name, value in settings.items():
                    tx.put_setting(name, value)
            auditkeys.show(config, settings)
            entry.outcome = OK
        except KeysteadError as error:
            entry.outcome = error.code
            raise
        finally:
            entry.time = int(clock.now() * 1e6)
            log.append(encode(entry))
            log.commit()
    installation.finish_others(())
    return Rotated(old.vkey, new.vkey, number)
