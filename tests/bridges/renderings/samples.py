"""Entries of every kind, for whoever renders them."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from keystead.service.actions import ACTIONS
from keystead.service.entry import OK, Entry

ORIGIN = "keystead-0123456789abcdef/w0"
EVENT = f"{ORIGIN}/567"
KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER_KEY = "arn:aws:kms:eu-central-1:444455556666:key/0987dcba-09fe-87dc-65ba-ab0987654321"
ALICE = "arn:aws:iam::111122223333:user/alice"
ROLE = "arn:aws:iam::111122223333:role/deploy"
SESSION = "arn:aws:sts::111122223333:assumed-role/deploy/ci-7"
ISSUER = "arn:aws:iam::111122223333:oidc-provider/token.example.org"

USED = Entry(
    access_key="AKIAIOSFODNN7EXAMPLE",
    account="111122223333",
    action="kms:Decrypt",
    auth="sigv4",
    ciphertext="c1" * 32,
    client_request="order-7|a=b]",
    context="c0" * 32,
    decided_by="identity-policy",
    decision="Allow",
    epoch=42,
    key=KEY,
    matched=("key-policy @0123456789ab #0", f"identity-policy {ALICE}@3f9a12bc34de Work"),
    outcome=OK,
    principal=ALICE,
    region="eu-central-1",
    request="6f1e0d5c-0f3b-4c57-9d2e-b3b1a5f0c111",
    source="192.0.2.7",
    statement="Work",
    time=1_764_000_000_123_456,
    trace="0af7651916cd43dd8448eb211c80319c",
    v=1,
    version=3,
)
"""A use of a key, with all that an entry can say of one."""

DENIED = msgspec.structs.replace(
    USED,
    ciphertext="",
    context="",
    decision="Deny",
    decided_by="none",
    matched=(),
    missing="identity-policy #0: its resources do not cover the key",
    outcome="AccessDenied",
    statement="",
)
UNPROVEN = Entry(
    access_key="AKIAIOSFODNN7EXAMPLE",
    action="kms:Decrypt",
    outcome="InvalidSignature",
    region="eu-central-1",
    request="req",
    source="2001:db8::7",
    time=1_764_000_000_000_000,
    v=1,
)
FEDERATED = msgspec.structs.replace(
    USED,
    access_key="",
    action="sts:AssumeRoleWithWebIdentity",
    auth="anonymous",
    ciphertext="",
    context="",
    key="",
    principal=ISSUER,
    subject=f"{SESSION} repo:acme/app",
    version=0,
)
STOPPED = Entry(
    action="keystead:AuditStopped",
    detail="disk full",
    outcome="AuditUnavailable",
    time=1_764_000_000_000_000,
    v=1,
)
SUBJECTS = {
    "kms:CreateAlias": "arn:aws:kms:eu-central-1:111122223333:alias/app",
    "kms:CreateGrant": "0c237476b39f8bc44e45212e08498fbe3151305030726c0590dd8d3e9f3d6a60",
    "kms:DeleteAlias": "arn:aws:kms:eu-central-1:111122223333:alias/app",
    "kms:RevokeGrant": "0c237476b39f8bc44e45212e08498fbe3151305030726c0590dd8d3e9f3d6a60",
    "kms:UpdateAlias": "arn:aws:kms:eu-central-1:111122223333:alias/app",
    "keystead:CreateAccessKey": f"{ALICE} AKIAIOSFODNN7EXAMPLE",
    "keystead:CreatePrincipal": "arn:aws:iam::111122223333:service-account/billing",
    "sts:AssumeRole": SESSION,
    "sts:AssumeRoleWithWebIdentity": f"{SESSION} repo:acme/app",
    "sts:GetSessionToken": ALICE,
}
BY_THE_LOG = ("keystead:AuditRecovered", "keystead:AuditResumed", "keystead:AuditStopped", "keystead:Init")
PRINCIPALS = (
    ALICE,
    SESSION,
    ROLE,
    "arn:aws:iam::111122223333:service-account/billing",
    "arn:aws:iam::111122223333:root",
    "arn:aws:iam::111122223333:service/jobs",
    "local:uid=0",
    "",
)


def every_action() -> list[str]:
    """The names of all actions, those that the log itself writes down included."""
    return sorted({action.name for action in ACTIONS.values()} | set(BY_THE_LOG))


def every_entry() -> Iterator[Entry]:
    """Every action, by everybody, as it succeeds, is denied, fails, and is still pending."""
    for number, action in enumerate(every_action()):
        for turn in range(2):
            entry = msgspec.structs.replace(
                USED,
                action=action,
                principal=PRINCIPALS[(number + turn * 3) % len(PRINCIPALS)],
                subject=SUBJECTS.get(action, ""),
                from_key=OTHER_KEY if action == "kms:ReEncrypt" else "",
                from_version=2 if action == "kms:ReEncrypt" else 0,
                algorithm="RSA_2048" if action == "kms:GenerateDataKeyPair" else "",
                source=("192.0.2.7", "2001:db8::7", "")[number % 3],
            )
            if action in BY_THE_LOG:
                entry = Entry(action=action, detail="why", time=entry.time, v=1)
            for outcome in (OK, "AccessDenied", "InvalidRequest", "Internal", "SomethingNew", ""):
                decision = {OK: "Allow", "AccessDenied": "Deny"}.get(outcome, "")
                yield msgspec.structs.replace(
                    entry,
                    outcome=outcome,
                    decision=decision,
                    stage="" if outcome else "intent",
                    matched=entry.matched if decision == "Allow" else (),
                )


class Log(NamedTuple):
    """What was written down of a day's work."""

    events: list[tuple[str, bytes]]
    key: str  # ARN of the key that it was about
