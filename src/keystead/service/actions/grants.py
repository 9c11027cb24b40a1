"""Grants: making them, listing them, and ending them from either side.

Revoking is for the key's side, retiring for the grantee's: the principal named as retiring, the grantee of a grant that
includes RetireGrant, the account that it was issued in, or whoever policy allows ``kms:RetireGrant``. A grant that is
made by virtue of another grant can give no more than that one gives (AWS KMS developer guide, "Grants in AWS KMS").

A grant is in force on every process when CreateGrant returns, and out of force when RevokeGrant or RetireGrant does. It
names principals that exist, as far as that can be told: whoever is of an account that is here is looked up, and for a
session its role, so that nobody who is given that name later finds permissions waiting. Of ARNs of accounts that are
not here only the form is checked.

Where AWS does not say what it does, the safe way is taken: both context constraints at once are refused, a list of
retirable grants is given for principals of the caller's own account only, and for a service only those of its keys.
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
from keystead.core.grant import CONTEXTUAL, Grant, holder_of, operations_of
from keystead.core.key import Event, Key, key_arn
from keystead.core.names import KeyReference
from keystead.core.principal import is_principal_arn, root_arn
from keystead.service.actions.crypt import WOULD_SUCCEED
from keystead.service.commands import kms as c
from keystead.service.desk import Desk, denied
from keystead.service.results import Done
from keystead.service.results.kms import Granted, GrantPage

MOST_PAIRS: Final = 8  # of an encryption context in a constraint
GRANT_ID_BYTES: Final = 32
AT_ONCE: Final = 1000


def create_grant(command: c.CreateGrant, desk: Desk) -> Granted:
    """Give a principal permissions on a key; the same name with the same parameters gives the same grant."""
    desk.entry.dry_run |= command.dry_run
    if command.key.is_alias:
        raise NotFound(f"Invalid keyId '{command.key.name}'")
    _check(command)
    wanted = Grant(
        id=desk.random(GRANT_ID_BYTES).hex(),
        region=desk.region,
        key_id=command.key.name,
        grantee=command.grantee,
        operations=tuple(dict.fromkeys(command.operations)),
        issuer=root_arn(command.key.account or desk.account),
        created=desk.now,
        name=command.name,
        retiring=command.retiring,
        grantee_service=command.grantee_service,
        retiring_service=command.retiring_service,
        context_equals=command.context_equals or {},
        context_subset=command.context_subset or {},
        source_arn=command.source_arn,
    )
    key = desk.key(command.key, Event.USE, "kms:CreateGrant", tokens=command.tokens, suits=wanted.within)
    _suits(wanted, key, desk)
    known = _known(wanted, desk) if wanted.name else None
    quota = desk.quotas.grants_per_key
    if known is None and desk.tx.count_grants(key.region, key.id) >= quota:
        raise LimitExceeded(f"The key has {quota} grants: the quota is reached. Revoke or retire one first.")
    if command.dry_run:
        raise DryRun(WOULD_SUCCEED)
    if known is None:
        desk.tx.put_grant(wanted)
    grant = known or wanted
    desk.entry.subject = grant.id
    return Granted(grant.id, desk.grant_token(grant))


def list_grants(command: c.ListGrants, desk: Desk) -> GrantPage:
    """A key's grants in the order of their ids: all, those of one grantee, or the one of that id."""
    _check_arn(command.grantee)
    key = desk.key(command.key, Event.READ, "kms:ListGrants")
    grantee = command.grantee or command.grantee_service or None
    one = desk.tx.grant(key.region, key.id, command.grant_id) if command.grant_id else None
    if command.grant_id and one is None:
        raise InvalidGrantId("The grant id is not one of a grant on this key.")

    def fetch(after: str, count: int) -> list[Grant]:
        if one is None:
            return desk.tx.grants(key.region, key.id, grantee, after, count)
        return [one] if one.id > after and grantee in (None, one.grantee, one.grantee_service) else []

    grants, marker = desk.page(
        f"grants {key.ref} {grantee or '*'}", command.marker, command.limit, fetch, lambda grant: grant.id
    )
    return GrantPage([(key.arn, grant) for grant in grants], marker)


def list_retirable_grants(command: c.ListRetirableGrants, desk: Desk) -> GrantPage:
    """The grants that a principal of the caller's account may retire, on this account's keys and on others'."""
    action = "kms:ListRetirableGrants"
    if bool(command.retiring) == bool(command.retiring_service):
        raise InvalidRequest("You must specify either RetiringPrincipal or RetiringServicePrincipal.")
    _check_arn(command.retiring)
    desk.allow(action)
    own = root_arn(desk.account)
    if command.retiring and _account(command.retiring) != desk.account:
        raise denied(desk.caller, action, command.retiring, "because it is not a principal of your account")
    retiring = command.retiring or command.retiring_service
    grants, marker = desk.page(
        f"retirable {retiring}",
        command.marker,
        command.limit,
        lambda after, count: desk.tx.retirable_grants(retiring, desk.region, after, count),
        lambda grant: grant.id,
    )
    # A page may be shorter than was asked for: a service's name is the same in all accounts.
    shown = grants if command.retiring else [grant for grant in grants if grant.issuer == own]
    return GrantPage(
        [(key_arn(grant.region, _account(grant.issuer), grant.key_id), grant) for grant in shown], marker
    )


def revoke_grant(command: c.RevokeGrant, desk: Desk) -> Done:
    """End a grant, for the key's side; in force when it returns."""
    desk.entry.dry_run |= command.dry_run
    desk.entry.subject = command.grant_id
    key = desk.key(command.key, Event.SET_POLICY, "kms:RevokeGrant")
    grant = desk.tx.grant(key.region, key.id, command.grant_id)
    if grant is None:
        raise NotFound(f"Grant ID {command.grant_id} not found")
    return _end(grant, desk, dry_run=command.dry_run)


def retire_grant(command: c.RetireGrant, desk: Desk) -> Done:
    """End a grant, for the grantee's side: by its token, or by key and id."""
    desk.entry.dry_run |= command.dry_run
    if command.token and command.key is None and not command.grant_id:
        named = desk.grant_named(command.token)
        key = desk.tx.key(named.region, named.key_id)
        owner = desk.account if key is None else key.account
        reference, grant_id = KeyReference(named.key_id, account=owner, region=named.region), named.grant_id
    elif not command.token and command.key is not None and command.grant_id:
        reference, grant_id = command.key, command.grant_id
    else:
        raise InvalidRequest("You must specify either a grant token, or a key ARN and a grant id.")
    desk.entry.subject = grant_id
    return _end(desk.retirable(reference, grant_id), desk, dry_run=command.dry_run)


def _check(command: c.CreateGrant) -> None:
    """Refuse what no key could have as a grant."""
    if bool(command.grantee) == bool(command.grantee_service):
        raise InvalidRequest("You must specify either GranteePrincipal or GranteeServicePrincipal.")
    if command.retiring and command.retiring_service:
        raise InvalidRequest("You can specify either RetiringPrincipal or RetiringServicePrincipal.")
    ended = command.retiring or command.retiring_service
    if command.grantee_service and not (command.source_arn and ended):
        raise InvalidRequest("GranteeServicePrincipal needs a SourceArn constraint and a retiring principal.")
    for arn in (command.grantee, command.retiring):
        _check_arn(arn)
    if not command.operations:
        raise InvalidRequest("Operations must name at least one operation.")
    equals, subset = command.context_equals or {}, command.context_subset or {}
    if equals and subset:
        raise InvalidRequest("You can specify either EncryptionContextEquals or EncryptionContextSubset.")
    pairs = equals or subset
    if len(pairs) > MOST_PAIRS:
        raise InvalidRequest(f"An encryption context constraint has at most {MOST_PAIRS} pairs.")
    if pairs and CONTEXTUAL.isdisjoint(command.operations):
        raise InvalidRequest(
            "An encryption context constraint needs an operation with an encryption context."
        )


def _suits(grant: Grant, key: Key, desk: Desk) -> None:
    """Refuse principals that do not exist, and what a key of that spec and usage cannot do."""
    for arn in (grant.grantee, grant.retiring):
        if arn and not _may_exist(arn, desk):
            raise InvalidArn(f"ARN does not refer to a valid principal: {arn}")
    possible = operations_of(key.spec, key.usage)
    for operation in grant.operations:
        if operation not in possible:
            raise InvalidRequest(
                f"Operation {operation} is not valid for a key with KeySpec {key.spec} and KeyUsage {key.usage}."
            )
    if grant.constrained and "GenerateDataKey" not in possible:  # RSA keys encrypt without a context
        raise InvalidRequest("Only symmetric encryption keys have an encryption context.")


def _may_exist(arn: str, desk: Desk) -> bool:
    """Whether there is such a principal here, or its account is not here, so that nobody can tell."""
    holder = holder_of(arn)
    return not holder or desk.tx.principal(holder) is not None or desk.tx.account(_account(holder)) is None


def _check_arn(arn: str) -> None:
    if arn and not is_principal_arn(arn):
        raise InvalidArn(f"ARN does not refer to a valid principal: {arn}")


def _account(arn: str) -> str:
    return arn.split(":")[4]


def _known(wanted: Grant, desk: Desk) -> Grant | None:
    """The grant of that name with the same parameters, if there is one."""
    grantee = wanted.grantee or wanted.grantee_service
    after = ""
    while page := desk.tx.grants(wanted.region, wanted.key_id, grantee, after, AT_ONCE):
        for grant in page:
            if grant.name == wanted.name and grant.parameters == wanted.parameters:
                return grant
        after = page[-1].id
    return None


def _end(grant: Grant, desk: Desk, *, dry_run: bool) -> Done:
    if dry_run:
        raise DryRun(WOULD_SUCCEED)
    desk.tx.delete_grant(grant.region, grant.key_id, grant.id)
    return Done()
