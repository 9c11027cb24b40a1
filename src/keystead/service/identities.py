"""Identities: what the store says somebody may do, put together.

`identify` reads a principal's own policy, those attached to it and to its groups, its boundary, the guardrails of its
account and of the installation, and the limits of its session. All that it read stands in ``Identity.refs``, so that
a change of any of them is a change of the identity. Who opened a session gives it nothing, but it ends with them
(`lives`): so they stand there too.

A policy that is attached but is not there gives nothing, and a boundary that is not there allows nothing: what is
missing never makes anybody stronger.
"""

from base64 import b32encode
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from typing import Final

from keystead.core.declaration import Kind, declaration_ref
from keystead.core.policy import Document, builtin, parse_guardrail, parse_identity_policy
from keystead.core.ports import View
from keystead.core.principal import INSTALLATION, SERVICE, Principal, Session
from keystead.service.caller import Identity

PAGE: Final = 100

_parsed = lru_cache(1024)(parse_identity_policy)
_guardrail = lru_cache(256)(parse_guardrail)


def identify(view: View, principal: Principal, session: Session | None = None) -> Identity:
    """The identity of a principal, or of a session of it."""
    if (
        principal.kind == SERVICE
    ):  # a part of the service itself: nobody's guardrail may keep it from its duty
        return Identity(principal.arn, principal.account, _own(principal))
    refs = [principal.arn]
    more = [_attached(view, arn, refs) for arn in principal.attached]
    for group in principal.groups:
        refs.append(group)
        found = view.principal(group)
        if found is not None and found.enabled:
            more.append(_own(found))
            more += [_attached(view, arn, refs) for arn in found.attached]
    boundary = _attached(view, principal.boundary, refs) if principal.boundary else None
    guardrails = tuple(_guardrails(view, principal.account, refs))
    limits: tuple[Document, ...] = ()
    tags = dict(principal.tags)
    arn, user_id = principal.arn, unique_id(principal)
    if session is not None:
        limits = (
            *(_parsed(text, f"#{number}") for number, text in enumerate(session.policies)),
            *(_attached(view, name, refs) for name in session.attached),
        )
        tags.update(session.tags)
        arn, user_id = session.arn, session.user_id
        refs += rests_on(session)
    return Identity(
        arn,
        principal.account,
        _own(principal),
        principal=principal.arn,
        more=tuple(document for document in more if document.statements),
        boundary=boundary,
        session_policies=limits,
        guardrails=guardrails,
        refs=tuple(dict.fromkeys(refs)),
        tags=tuple(tags.items()),
        user_id=user_id,
        session=session,
    )


def lives(view: View, session: Session, now: float) -> bool:
    """Whether a session is neither over nor revoked, and nor are those who opened it.

    All of them are held to the session's own number: each was looked at in the view in which it was opened, so what
    came before that did not end it. That it was opened before it was revoked is told by the numbers of changes, which
    are in the store's own order: by the clock, one that was being opened meanwhile would come after. One with a number
    that is still to come was opened before the store was set back to a backup: whether it has been revoked in this
    history cannot be told.
    """
    if now >= session.expires or session.epoch > view.newest_change():
        return False
    for arn in dict.fromkeys((session.principal, *session.openers)):
        principal = view.principal(arn)
        if principal is None or not principal.enabled or principal.sessions_from > session.epoch:
            return False
    if not session.opened_with:
        return True
    access_key = view.access_key(session.opened_with)
    return access_key is not None and access_key.enabled and access_key.principal == session.openers[0]


def rests_on(session: Session) -> tuple[str, ...]:
    """What may end a session, as the change feed names it."""
    opened_with = (session.opened_with,) if session.opened_with else ()
    return (session.principal, *session.openers, *opened_with)


def unique_id(principal: Principal) -> str:
    """AWS's form of a principal's unique id; one that is made anew under the same name gets another."""
    digest = sha256(f"{principal.arn} {principal.created}".encode()).digest()
    prefix = "AROA" if principal.kind == "role" else "AIDA"
    return prefix + b32encode(digest)[:17].decode()


def _own(principal: Principal) -> Document:
    return _parsed(principal.policy, principal.arn)


def _attached(view: View, arn: str, refs: list[str]) -> Document:
    """The policy with that ARN; one that allows nothing if there is none."""
    built_in = builtin.BUILT_IN.get(arn)
    if built_in is not None:
        return _parsed(built_in.text, arn)
    account, name = arn.split(":", 5)[4], arn.partition(":policy/")[2]
    refs.append(declaration_ref(account, Kind.POLICY, name))
    found = view.declaration(account, Kind.POLICY, name)
    return _parsed("" if found is None else found.text, arn)


def _guardrails(view: View, account: str, refs: list[str]) -> Iterator[Document]:
    for scope in (INSTALLATION, account):
        refs.append(declaration_ref(scope, Kind.GUARDRAIL, ""))
        after = ""
        while page := view.declarations(scope, Kind.GUARDRAIL, after, PAGE):
            for each in page:
                yield _guardrail(each.text, f"{scope}/{each.name}")
            after = page[-1].name
