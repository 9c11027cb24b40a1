"""Key identifiers and ARNs, as AWS writes them.

A request may name a key in four ways, and `key_reference` reads all of them:

    1234abcd-12ab-34cd-56ef-1234567890ab                    a key id, or mrk- and 32 hex digits
    arn:aws:kms:eu-central-1:111122223333:key/1234abcd-...  a key ARN
    alias/app                                               an alias
    arn:aws:kms:eu-central-1:111122223333:alias/app         an alias ARN

Reading is all that happens here. Whether an alias may stand where it stands, and whether the region and
account are right, is for the gate, which knows the caller.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from keystead.core.errors import InvalidArn, NotFound
from keystead.core.names import KeyReference

_HEX: Final = "[0-9a-f]"
_KEY_ID: Final = rf"(?:{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}|mrk-{_HEX}{{32}})"
_ALIAS: Final = r"alias/[a-zA-Z0-9/_-]{1,250}"
_REGION: Final = r"[a-z][a-z0-9-]{0,31}"
_ACCOUNT: Final = r"[0-9]{12}"

_key_id: Final = re.compile(_KEY_ID).fullmatch
_alias: Final = re.compile(_ALIAS).fullmatch
_arn: Final = re.compile(rf"arn:aws:kms:({_REGION}):({_ACCOUNT}):(?:key/({_KEY_ID})|({_ALIAS}))").fullmatch

# "IAM name requirements" and "IAM ARNs" in the IAM user guide.
_NAME: Final = r"[A-Za-z0-9_+=,.@-]{1,64}"
_PATH: Final = r"/(?:[\x21-\x2e\x30-\x7e]+/)*"
_principal: Final = re.compile(
    rf"arn:aws:iam::({_ACCOUNT}):(?:(root)|(user|role|service-account)({_PATH})({_NAME}))"
    rf"|arn:aws:sts::({_ACCOUNT}):(assumed-role)/({_NAME})/({_NAME})"
).fullmatch
_LONGEST_PRINCIPAL: Final = 2048

_claimed: Final = re.compile(rb"Credential=([A-Za-z0-9_-]{1,128})/").search


def key_reference(text: str) -> KeyReference:
    """The key that ``text`` names; `NotFound`, as AWS has it, when it is in none of the four forms."""
    if _key_id(text):
        return KeyReference(text)
    if _alias(text):
        return KeyReference(text, is_alias=True)
    match = _arn(text)
    if match is None:
        raise NotFound(f"Invalid keyId '{text}'")
    region, account, key_id, alias = match.groups()
    return KeyReference(key_id or alias, alias is not None, account, region)


class PrincipalName(msgspec.Struct, frozen=True):
    """A principal as an ARN names it."""

    kind: str  # "root", "user", "role", "service-account" or "assumed-role"
    account: str
    name: str = ""  # of the user or role, without its path
    path: str = "/"
    session: str = ""  # of an assumed role

    @property
    def arn(self) -> str:
        """The ARN, as it was read."""
        match self.kind:
            case "root":
                return f"arn:aws:iam::{self.account}:root"
            case "assumed-role":
                return f"arn:aws:sts::{self.account}:assumed-role/{self.name}/{self.session}"
            case kind:
                return f"arn:aws:iam::{self.account}:{kind}{self.path}{self.name}"


def principal_name(arn: str) -> PrincipalName:
    """The user, role, session or account root that ``arn`` names; `InvalidArn` for anything else."""
    match = _principal(arn) if len(arn) <= _LONGEST_PRINCIPAL else None
    if match is None:
        raise InvalidArn(f"ARN does not refer to a valid principal: {arn[:_LONGEST_PRINCIPAL]}")
    account, root, kind, path, name, its_account, assumed, role, session = match.groups()
    if root:
        return PrincipalName(root, account)
    if assumed:
        return PrincipalName(assumed, its_account, role, session=session)
    return PrincipalName(kind, account, name, path)


def trace(headers: Mapping[bytes, bytes]) -> str:
    """The trace id of a W3C ``traceparent`` header, or nothing if that is not in the form it must have."""
    value = headers.get(b"traceparent")
    match = None if value is None else _traceparent(value)
    return "" if match is None else match[1].decode()


# W3C Trace Context 3.2: version, trace id, parent id, flags. Version ff and ids of zeros are not valid, and
# only a later version than 00 may go on.
_traceparent: Final = re.compile(
    rb"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
).fullmatch


_client_request: Final = re.compile(rb"[\x21-\x7e]{1,128}").fullmatch


def client_request(headers: Mapping[bytes, bytes]) -> str:
    """The client's own id for its request, in ``X-Request-Id``; empty if there is none, or not in a form to keep."""
    value = headers.get(b"x-request-id")
    return value.decode() if value is not None and _client_request(value) else ""


def claimed_access_key(authorization: bytes) -> str:
    """The access key id that an `Authorization` header claims, proved or not; empty if it claims none."""
    match = _claimed(authorization)
    return match[1].decode() if match else ""
