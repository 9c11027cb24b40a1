"""Grants: making them, listing them, and ending them from either side.

Revoking is for the key's side, retiring for the grantee's: the principal named as retiring, the grantee of a grant that
includes RetireGrant, or whoever policy allows ``kms:RetireGrant``. A grant that was made by virtue of another grant can
give no more than that one gave (AWS KMS developer guide, "Granting CreateGrant permission").

A grant is in force on every process when CreateGrant returns, and out of force when RevokeGrant or RetireGrant does.
"""

from typing import Final

from keystead.core.errors import (
    DryRun,
    InvalidArn,
    InvalidGrantId,
    InvalidRequest,
    LimitExceeded,
    NotFound,
)
from keystead.core.grant import CONTEXTUAL, Grant
from keystead.core.key import Event, Key, key_arn
from keystead.core.names import KeyReference
from keystead.core.principal import is_principal_arn, root_arn
from keystead.core.spec import (
    ENCAPSULATE_DECAPSULATE,
    ENCRYPT_DECRYPT,
    GENERATE_VERIFY_MAC,
    KEY_AGREEMENT,
    SIGN_VERIFY,
    SPECS,
    SYMMETRIC,
)
from keystead.service import commands as c
from keystead.service.actions.crypt import WOULD_SUCCEED
from keystead.service.desk import Desk, denied
from keystead.service.results import Done, Granted, GrantPage

MOST_PAIRS: Final = 8  # of an encryption context in a constraint
GRANT_ID_BYTES: Final = 32
AT_ONCE: Final = 1000

_ANY: Final = frozenset({"CreateGrant", "RetireGrant", "DescribeKey"})
_OF_USAGE: Final = {
    SIGN_VERIFY: frozenset({"Sign", "Verify"}),
    GENERATE_VERIFY_MAC: frozenset({"GenerateMac", "VerifyMac"}),
    KEY_AGREEMENT: frozenset({"DeriveSharedSecret"}),
    ENCAPSULATE_DECAPSULATE: frozenset({"Encapsulate", "Decapsulate"}),
    ENCRYPT_DECRYPT: frozenset({"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo"}),
}


def create_grant(command: c.CreateGrant, desk: Desk) -> Granted:
    """Give a principal permissions on a key; the same name with the same parameters gives the same grant."""
    desk.entry.dry_run = command.dry_run
    key = desk.key(command.key, Event.USE, "kms:CreateGrant", tokens=command.tokens)
    grant = _wanted(command, key, desk)
    parent = desk.entry.statement if desk.entry.decided_by == "grant" else ""
    if parent:
        _no_more_than(desk.tx.grant(key.region, key.id, parent), grant, key, desk)
    known = _same(grant, desk) if grant.name else None
    if known is None and desk.tx.count_grants(key.region, key.id) >= desk.quotas.grants_per_key:
        raise LimitExceeded(
            f"The key has {desk.quotas.grants_per_key} grants: the quota is reached. End one first."
        )
    if command.dry_run:
        raise DryRun(WOULD_SUCCEED)
    if known is None:
        desk.tx.put_grant(grant)
    else:
        grant = known
    desk.entry.subject = grant.id
    return Granted(grant.id, desk.grant_token(grant))


def list_grants(command: c.ListGrants, desk: Desk) -> GrantPage:
    """A key's grants in the order of their ids."""
    key = desk.key(command.key, Event.READ, "kms:ListGrants")
    _check_principal(command.grantee)
    if command.grant_id:
        grant = desk.tx.grant(key.region, key.id, command.grant_id)
        if grant is None:
            raise InvalidGrantId("GrantId is invalid.")
        return GrantPage([(key.arn, grant)], "")
    grantee = command.grantee or command.grantee_service or None
    grants, marker = desk.page(
        f"grants {key.ref} {grantee or '*'}",
        command.marker,
        command.limit,
        lambda after, count: desk.tx.grants(key.region, key.id, grantee, after, count),
        lambda grant: grant.id,
    )
    return GrantPage([(key.arn, grant) for grant in grants], marker)


def list_retirable_grants(command: c.ListRetirableGrants, desk: Desk) -> GrantPage:
    """The grants that a principal may retire, of the account's own keys in the caller's Region."""
    desk.allow("kms:ListRetirableGrants")
    _check_principal(command.retiring)
    retiring = command.retiring or command.retiring_service
    if not retiring:
        raise InvalidRequest("RetiringPrincipal or RetiringServicePrincipal is required.")
    grants, marker = desk.page(
        f"retirable {retiring}",
        command.marker,
        command.limit,
        lambda after, count: desk.tx.retirable_grants(retiring, desk.region, after, count),
        lambda grant: grant.id,
    )
    own = root_arn(desk.account)
    return GrantPage(
        [
            (key_arn(grant.region, desk.account, grant.key_id), grant)
            for grant in grants
            if grant.issuer == own
        ],
        marker,
    )


def revoke_grant(command: c.RevokeGrant, desk: Desk) -> Done:
    """End a grant, for the key's side; in force when it returns."""
    desk.entry.dry_run = command.dry_run
    desk.entry.subject = command.grant_id
    key = desk.key(command.key, Event.SET_POLICY, "kms:RevokeGrant")
    grant = desk.tx.grant(key.region, key.id, command.grant_id)
    if grant is None:
        raise NotFound(f"Grant ID {command.grant_id} not found")
    return _end(grant, desk, dry_run=command.dry_run)


def retire_grant(command: c.RetireGrant, desk: Desk) -> Done:
    """End a grant, for the grantee's side: by its token, or by key and id."""
    desk.entry.dry_run = command.dry_run
    if bool(command.token) == bool(command.key or command.grant_id):
        raise InvalidRequest("Either a grant token, or a key ARN and a grant id are required.")
    if command.token:
        named = desk.grant_named(command.token)
        region, key_id, grant_id = named.region, named.key_id, named.grant_id
    elif command.key is None or not command.grant_id or command.key.is_alias:
        raise InvalidRequest("A key ARN and a grant id are required together.")
    else:
        region, key_id, grant_id = desk.region, command.key.name, command.grant_id
    desk.entry.subject = grant_id
    key, grant = desk.tx.key(region, key_id), desk.tx.grant(region, key_id, grant_id)
    if key is not None:
        desk.entry.key = key.arn
    if key is None or grant is None or region != desk.region:
        raise NotFound(f"Grant ID {grant_id} not found")
    if not _may_retire(grant, desk):
        # Not by the grant: then only who policy allows, by the same rules and with the same words as ever.
        desk.key(
            KeyReference(key_id, account=key.account, region=region), Event.SET_POLICY, "kms:RetireGrant"
        )
    return _end(grant, desk, dry_run=command.dry_run)


def _wanted(command: c.CreateGrant, key: Key, desk: Desk) -> Grant:
    """The grant that is asked for, held against all that AWS demands of one."""
    if bool(command.grantee) == bool(command.grantee_service):
        raise InvalidRequest("Either GranteePrincipal or GranteeServicePrincipal is required.")
    if command.grantee_service and not (
        command.source_arn and (command.retiring or command.retiring_service)
    ):
        raise InvalidRequest("GranteeServicePrincipal needs a SourceArn constraint and a retiring principal.")
    for principal in (command.grantee, command.retiring):
        _check_principal(principal)
    if not command.operations:
        raise InvalidRequest("Operations must name at least one operation.")
    allowed = _operations(key)
    for operation in command.operations:
        if operation not in allowed:
            raise InvalidRequest(
                f"Operation {operation} is not valid for a key with KeySpec {key.spec} and KeyUsage {key.usage}."
            )
    equals, subset = dict(command.context_equals or {}), dict(command.context_subset or {})
    if equals and subset:
        raise InvalidRequest("Only one of EncryptionContextEquals and EncryptionContextSubset may be given.")
    if len(equals or subset) > MOST_PAIRS:
        raise InvalidRequest(f"An encryption context constraint may have {MOST_PAIRS} pairs.")
    if (equals or subset) and not CONTEXTUAL & set(command.operations):
        raise InvalidRequest(
            "An encryption context constraint needs an operation that has an encryption context."
        )
    if (equals or subset) and key.spec != SYMMETRIC:
        raise InvalidRequest("Only symmetric encryption keys have an encryption context.")
    return Grant(
        id=desk.random(GRANT_ID_BYTES).hex(),
        region=key.region,
        key_id=key.id,
        grantee=command.grantee,
        operations=tuple(dict.fromkeys(command.operations)),
        issuer=root_arn(key.account),
        created=desk.now,
        name=command.name,
        retiring=command.retiring,
        grantee_service=command.grantee_service,
        retiring_service=command.retiring_service,
        context_equals=equals,
        context_subset=subset,
        source_arn=command.source_arn,
    )


def _operations(key: Key) -> frozenset[str]:
    """The operations that a grant on such a key may include."""
    found = _ANY | _OF_USAGE[key.usage]
    if SPECS[key.spec].asymmetric:
        return found | {"GetPublicKey"}
    if key.spec == SYMMETRIC:
        return found | CONTEXTUAL
    return found


def _check_principal(arn: str) -> None:
    if arn and not is_principal_arn(arn):
        raise InvalidArn("ARN does not refer to a valid principal")


def _no_more_than(parent: Grant | None, grant: Grant, key: Key, desk: Desk) -> None:
    """Refuse a grant that would give more than the one by which it is made."""
    refusal = denied(
        desk.caller,
        "kms:CreateGrant",
        key.arn,
        "because the grant that allows it does not include these operations under these constraints",
    )
    if parent is None or not set(grant.operations) <= set(parent.operations):
        raise refusal
    if parent.context_equals and dict(grant.context_equals) != dict(parent.context_equals):
        raise refusal
    given = {**grant.context_equals, **grant.context_subset}
    if not parent.context_subset.items() <= given.items():
        raise refusal


def _same(grant: Grant, desk: Desk) -> Grant | None:
    """The grant of that name with the same parameters, if there is one."""
    grantee = grant.grantee or grant.grantee_service
    after = ""
    while page := desk.tx.grants(grant.region, grant.key_id, grantee, after, AT_ONCE):
        for known in page:
            if _parameters(known) == _parameters(grant):
                return known
        after = page[-1].id
    return None


def _parameters(grant: Grant) -> tuple[object, ...]:
    return (
        grant.name,
        frozenset(grant.operations),
        grant.grantee,
        grant.retiring,
        grant.grantee_service,
        grant.retiring_service,
        dict(grant.context_equals),
        dict(grant.context_subset),
        grant.source_arn,
    )


def _may_retire(grant: Grant, desk: Desk) -> bool:
    """Whether the caller may retire a grant by the grant itself."""
    arn = desk.caller.identity.arn
    if arn and arn == grant.retiring:
        return True
    return arn == grant.grantee and "RetireGrant" in grant.operations


def _end(grant: Grant, desk: Desk, *, dry_run: bool) -> Done:
    if dry_run:
        raise DryRun(WOULD_SUCCEED)
    desk.tx.delete_grant(grant.region, grant.key_id, grant.id)
    return Done()
