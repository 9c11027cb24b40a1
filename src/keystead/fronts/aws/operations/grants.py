"""Grants."""

from collections.abc import Mapping
from typing import Final

from keystead.core.errors import InvalidRequest
from keystead.core.grant import Grant
from keystead.fronts.aws import model
from keystead.fronts.aws.operations.forms import Row, done, encode, key, optional_key, page, tokens
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.results import kms as r


def _create(taken: model.CreateGrantRequest) -> Command:
    constraints = taken.Constraints or model.GrantConstraints()
    return c.CreateGrant(
        key=key(taken.KeyId),
        operations=tuple(taken.Operations or ()),
        grantee=taken.GranteePrincipal or "",
        retiring=taken.RetiringPrincipal or "",
        grantee_service=taken.GranteeServicePrincipal or "",
        retiring_service=taken.RetiringServicePrincipal or "",
        context_equals=constraints.EncryptionContextEquals,
        context_subset=constraints.EncryptionContextSubset,
        source_arn=constraints.SourceArn or "",
        name=taken.Name or "",
        tokens=tokens(taken),
        dry_run=taken.DryRun or False,
    )


def _list(taken: model.ListGrantsRequest) -> Command:
    if taken.GranteePrincipal and taken.GranteeServicePrincipal:
        raise InvalidRequest("Only one of GranteePrincipal and GranteeServicePrincipal may be given.")
    return c.ListGrants(
        key(taken.KeyId),
        taken.GrantId or "",
        taken.GranteePrincipal or "",
        taken.GranteeServicePrincipal or "",
        page(taken.Limit, 50, 100),
        taken.Marker or "",
    )


def _list_retirable(taken: model.ListRetirableGrantsRequest) -> Command:
    if taken.RetiringPrincipal and taken.RetiringServicePrincipal:
        raise InvalidRequest("Only one of RetiringPrincipal and RetiringServicePrincipal may be given.")
    return c.ListRetirableGrants(
        taken.RetiringPrincipal or "",
        taken.RetiringServicePrincipal or "",
        page(taken.Limit, 50, 100),
        taken.Marker or "",
    )


def _retire(taken: model.RetireGrantRequest) -> Command:
    return c.RetireGrant(
        taken.GrantToken or "", optional_key(taken.KeyId), taken.GrantId or "", taken.DryRun or False
    )


def _granted(result: r.Granted) -> bytes:
    return encode(model.CreateGrantResponse(GrantId=result.grant_id, GrantToken=result.token))


def _grants(result: r.GrantPage) -> bytes:
    return encode(
        model.ListGrantsResponse(
            Grants=[_entry(arn, grant) for arn, grant in result.grants],
            NextMarker=result.marker or None,
            Truncated=bool(result.marker),
        )
    )


def _entry(arn: str, grant: Grant) -> model.GrantListEntry:
    constrained = grant.constrained or grant.source_arn
    constraints = model.GrantConstraints(
        EncryptionContextEquals=dict(grant.context_equals) or None,
        EncryptionContextSubset=dict(grant.context_subset) or None,
        SourceArn=grant.source_arn or None,
    )
    return model.GrantListEntry(
        Constraints=constraints if constrained else None,
        CreationDate=grant.created,
        GrantId=grant.id,
        GranteePrincipal=grant.grantee or None,
        GranteeServicePrincipal=grant.grantee_service or None,
        IssuingAccount=grant.issuer,
        KeyId=arn,
        Name=grant.name or None,
        Operations=list(grant.operations),
        RetiringPrincipal=grant.retiring or None,
        RetiringServicePrincipal=grant.retiring_service or None,
    )


ROWS: Final[Mapping[str, Row]] = {
    "CreateGrant": Row(_create, _granted),
    "ListGrants": Row(_list, _grants),
    "ListRetirableGrants": Row(_list_retirable, _grants),
    "RevokeGrant": Row(lambda t: c.RevokeGrant(key(t.KeyId), t.GrantId, t.DryRun or False), done),
    "RetireGrant": Row(_retire, done),
}
