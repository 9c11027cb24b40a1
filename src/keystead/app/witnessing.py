"""Witnessing in an installation: its key as a witness, the logs that it witnesses, and the witnesses of its own.

The witness's key is one of its own, made when it is first asked for: it must not change when the key of the audit is
replaced, since others have configured it.
"""

from contextlib import closing
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keystead import store
from keystead.app.auditkeys import SERVICE_ACCOUNT
from keystead.app.installation import Installation, SystemClock
from keystead.app.offline import key_text
from keystead.audit import checkpoint
from keystead.audit import witness as witnesses
from keystead.audit.disk import LocalDisk
from keystead.audit.witness import Book, Submission
from keystead.config import WitnessedBy
from keystead.core.errors import AuditDamaged, ConfigError, InvalidRequest
from keystead.core.key import binding
from keystead.crypto.note import CosignatureSigner, CosignatureVerifier, InvalidNote, NoteVerifier
from keystead.custody.xks import trust
from keystead.jobs.witnesses import Carrier, Found, NoAnswer, Watcher, submit

KEY: Final = "witness-key"
_LABEL: Final = binding("witness-key")


def signer(installation: Installation) -> CosignatureSigner:
    """What signs as this installation's witness; made when there is none yet."""
    custodian = installation.custodian
    with closing(store.connect(installation.config.store, now=installation.clock.now)) as opened:
        with opened.view() as view:
            protected = view.setting(KEY)
        if protected is None:
            with opened.transact("witness-key") as tx:
                protected = tx.setting(KEY)  # another process may have been as quick
                if protected is None:
                    protected = custodian.protect(SERVICE_ACCOUNT, installation.random(32), _LABEL)
                    tx.put_setting(KEY, protected)
    key = custodian.reveal(SERVICE_ACCOUNT, protected, _LABEL)
    return CosignatureSigner(f"{installation.origin}/witness", Ed25519PrivateKey.from_private_bytes(key))


def book(installation: Installation) -> Book | None:
    """This installation as a witness, if it is one; the process that has it may have it alone."""
    config = installation.config
    if not config.witnessed:
        return None
    logs = [_log(vkey) for vkey in config.witnessed]
    return Book(config.data / witnesses.FOLDER, logs, signer(installation), LocalDisk(), installation.clock)


def watchers(installation: Installation) -> list[Watcher]:
    """The witnesses of this installation's logs, as the job that asks them knows them."""
    config = installation.config
    return [
        Watcher(
            each.name,
            Carrier(each.url, trust(each.ca), installation.clock),
            Submission(config.audit, each.name, _verifier(each), LocalDisk()),
            float(each.seconds),
        )
        for each in config.witnesses
    ]


def ask(directory: Path, witness: str, url: str, authorities: Path | None) -> None:
    """Ask a witness whether it has seen a log, or all logs in a directory; raises `AuditDamaged` if it has seen others.

    ``witness`` is its verifier key, or a file that holds it. Nothing is written: whoever verifies may have no more than
    a copy. Raises `keystead.jobs.witnesses.NoAnswer` where it says nothing.
    """
    try:
        verifier = CosignatureVerifier.from_vkey(key_text(witness))
    except InvalidNote as error:
        raise InvalidRequest(str(error)) from None
    post = Carrier(url, trust(authorities), SystemClock())
    single = (directory / checkpoint.FILE).exists()
    root = directory.parent if single else directory
    submission = Submission(root, "", verifier, LocalDisk(), keep=False)
    damage = []
    for log in [directory.name] if single else submission.logs():
        outcome = submit(submission, log, post)
        if outcome.found is Found.UNKNOWN:
            raise NoAnswer(outcome.why)
        if outcome.found is not Found.COSIGNED:
            origin = submission.newest(log)[1].split(b"\n", 1)[0].decode()
            damage.append((origin, outcome.at, checkpoint.FILE, outcome.why))
    if damage:
        log, record, file, problem = damage[0]
        raise AuditDamaged(f"log {log}, record {record}: {file}: {problem}", tuple(damage))


def check(installation: Installation) -> None:
    """Raise `ConfigError` if a key in the configuration is none."""
    for each in installation.config.witnesses:
        _verifier(each)
    for vkey in installation.config.witnessed:
        _log(vkey)


def _log(vkey: str) -> NoteVerifier:
    try:
        return NoteVerifier.from_vkey(vkey)
    except InvalidNote as error:
        raise ConfigError(f"the setting 'witness.logs' must be a list of verifier keys: {error}") from None


def _verifier(each: WitnessedBy) -> CosignatureVerifier:
    try:
        return CosignatureVerifier.from_vkey(each.vkey)
    except InvalidNote as error:
        raise ConfigError(f"the setting 'witness_by.vkey' of {each.name!r} is not right: {error}") from None
