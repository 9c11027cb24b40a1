"""Whom an audit entry concerns, and what each account may see of it.

An entry concerns the account whose principal asked, and the accounts of the keys that it was about. Of a request from
one account for another's key both have the entry, and each sees of the decision only what its own policies had to say.

What an account sees is the leaf of its own tree (``docs/formats/audit-account-heads.md``): `seen` may never answer
differently for an entry that it has answered for before.
"""

import re
from typing import Final

import msgspec

from keystead.core.policy.actions import ACTIONS, Class
from keystead.core.retention import Kept
from keystead.service.entry import CRYPTOGRAPHIC, Entry, decode, encode

_ACCOUNT: Final = re.compile(r"[0-9]{12}")


class _Concerned(msgspec.Struct, gc=False):
    """The members of an entry that say whom it concerns; reading only these is half the work."""

    account: str = ""
    from_key: str = ""
    key: str = ""


_read: Final = msgspec.json.Decoder(_Concerned).decode


class _Aged(msgspec.Struct, gc=False):
    """The members of an entry that say how long it is kept."""

    account: str = ""
    action: str = ""
    from_key: str = ""
    key: str = ""
    time: int = 0


_read_aged: Final = msgspec.json.Decoder(_Aged).decode


def owners(entry: Entry | _Concerned | _Aged) -> tuple[str, ...]:
    """The accounts of the keys that it was about."""
    return tuple(arn.split(":")[4] for arn in (entry.key, entry.from_key) if arn.count(":") > 4)  # noqa: PLR2004 - the parts of an ARN


def hide(entry: Entry, account: str) -> None:
    """Leave out what another account's policies have said."""
    entry.matched = tuple(text for text in entry.matched if _whose(text, entry) == {account})
    if _whose(entry.missing.removeprefix("no statement of the "), entry) != {account}:
        entry.missing = ""


def seen(data: bytes) -> tuple[tuple[str, bytes], ...]:
    """Each account that an entry concerns, with its bytes as far as that one may see them."""
    try:
        found = _read(data)
    except msgspec.DecodeError:
        return ()
    accounts = [each for each in dict.fromkeys((found.account, *owners(found))) if _ACCOUNT.fullmatch(each)]
    if accounts == [found.account]:
        return ((found.account, data),)
    views = []
    for account in accounts:
        entry = decode(data)
        hide(entry, account)
        views.append((account, encode(entry)))
    return tuple(views)


def aged(data: bytes) -> tuple[int, Kept, tuple[str, ...]]:
    """When an entry was made, in microseconds, what it is kept as, and what a legal hold on it can name.

    Those are the accounts that it concerns, and the ARNs of its keys. Bytes that are no entry are as old as can be.
    """
    try:
        found = _read_aged(data)
    except msgspec.DecodeError:
        return 0, Kept.CHANGES, ()
    names = filter(None, (found.account, *owners(found), found.key, found.from_key))
    return found.time, _kept_as(found.action), tuple(dict.fromkeys(names))


def _kept_as(action: str) -> Kept:
    if action in CRYPTOGRAPHIC:
        return Kept.USES
    return _KEPT.get(ACTIONS.get(action, Class.MANAGE), Kept.CHANGES)


_KEPT: Final = {Class.USE: Kept.USES, Class.READ: Kept.READS, Class.SESSION: Kept.SESSIONS}


def _whose(text: str, entry: Entry) -> set[str]:
    """The account whose policy or grant a text is about: of a key's or a role's own policy, that one's."""
    kind, _, rest = text.partition(" ")
    if kind not in ("key-policy", "grant"):
        return {entry.account}
    arn = rest.partition("@")[0]
    if arn.startswith("arn:"):
        return {arn.split(":")[4]}
    return set(owners(entry)) or set(entry.subject.split(":")[4:5])
