"""AWS STS's operations: how an input becomes a command, and a result an answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from keystead.core.errors import InvalidArn, InvalidRequest
from keystead.fronts.aws import names
from keystead.fronts.aws.shapes import Structure
from keystead.fronts.aws.sts import model
from keystead.service.commands import Command
from keystead.service.commands import sts as c
from keystead.service.results import sts as r

UNSIGNED: Final = "AssumeRoleWithWebIdentity"
"""The one operation that nobody signs."""


@dataclass(frozen=True, slots=True)
class Row:
    """One operation: its input to a command, and its result to an output."""

    command: Callable[[Any], Command]
    answer: Callable[[Any], Structure]


# --- inputs ----------------------------------------------------------------------------------------------


def _assume_role(taken: model.AssumeRoleRequest) -> Command:
    _not_here(taken, "ProvidedContexts", "MinimumSessionTokenSize")
    given = c.AssumeRole(
        _role(taken.RoleArn),
        taken.RoleSessionName or "",
        taken.DurationSeconds,
        taken.Policy or "",
        _policies(taken),
        tuple((tag.Key or "", tag.Value or "") for tag in taken.Tags or ()),
        tuple(taken.TransitiveTagKeys or ()),
        taken.ExternalId or "",
        taken.SourceIdentity or "",
    )
    if taken.SerialNumber is None and taken.TokenCode is None:
        return given
    return c.AssumeRoleWithMfa(
        **msgspec.structs.asdict(given), serial=taken.SerialNumber or "", code=taken.TokenCode or ""
    )


def _get_session_token(taken: model.GetSessionTokenRequest) -> Command:
    _not_here(taken, "MinimumSessionTokenSize")
    if taken.SerialNumber is None and taken.TokenCode is None:
        return c.GetSessionToken(taken.DurationSeconds)
    return c.GetSessionTokenWithMfa(taken.DurationSeconds, taken.SerialNumber or "", taken.TokenCode or "")


def _assume_role_with_web_identity(taken: model.AssumeRoleWithWebIdentityRequest) -> Command:
    _not_here(taken, "ProviderId", "MinimumSessionTokenSize")
    return c.AssumeRoleWithWebIdentity(
        _role(taken.RoleArn),
        taken.RoleSessionName or "",
        taken.WebIdentityToken or "",
        taken.DurationSeconds,
        taken.Policy or "",
        _policies(taken),
    )


def _role(arn: str | None) -> str:
    """The ARN of a role, which need not exist."""
    try:
        name = names.principal_name(arn or "")
    except InvalidArn:
        name = None
    if name is None or name.kind != "role":
        raise InvalidRequest(f"{arn} is invalid")
    return name.arn


def _policies(taken: model.AssumeRoleRequest | model.AssumeRoleWithWebIdentityRequest) -> tuple[str, ...]:
    return tuple(each.arn or "" for each in taken.PolicyArns or ())


def _not_here(taken: Structure, *parameters: str) -> None:
    """Refuse what AWS takes and this service does not, rather than to leave it out."""
    for name in parameters:
        if getattr(taken, name) is not None:
            raise InvalidRequest(f"{name} is not supported here.")


# --- answers ---------------------------------------------------------------------------------------------


def _caller(result: r.CallerIdentity) -> Structure:
    return model.GetCallerIdentityResponse(UserId=result.user_id, Account=result.account, Arn=result.arn)


def _credentials(given: r.Credentials) -> model.Credentials:
    return model.Credentials(
        AccessKeyId=given.access_key,
        SecretAccessKey=given.secret,
        SessionToken=given.token,
        Expiration=given.expires,
    )


def _user(result: r.NewSession) -> model.AssumedRoleUser:
    return model.AssumedRoleUser(AssumedRoleId=result.role_id, Arn=result.arn)


ROWS: Final[Mapping[str, Row]] = {
    "AssumeRole": Row(
        _assume_role,
        lambda result: model.AssumeRoleResponse(
            Credentials=_credentials(result.credentials),
            AssumedRoleUser=_user(result),
            PackedPolicySize=result.packed,
            SourceIdentity=result.source_identity or None,
        ),
    ),
    "AssumeRoleWithWebIdentity": Row(
        _assume_role_with_web_identity,
        lambda result: model.AssumeRoleWithWebIdentityResponse(
            Credentials=_credentials(result.credentials),
            SubjectFromWebIdentityToken=result.subject,
            AssumedRoleUser=_user(result),
            PackedPolicySize=result.packed,
            Provider=result.provider,
            Audience=result.audience,
            SourceIdentity=result.source_identity or None,
        ),
    ),
    "GetCallerIdentity": Row(lambda _: c.GetCallerIdentity(), _caller),
    "GetSessionToken": Row(
        _get_session_token,
        lambda result: model.GetSessionTokenResponse(Credentials=_credentials(result.credentials)),
    ),
}
