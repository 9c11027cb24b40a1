"""Explaining decisions: from the audit entry of a request to the statements that decided it.

Every decision is in the audit entry of its request, with the versions of the policies that had a part in it, so it can
be explained for as long as the audit is kept. An account sees what its principals asked for and what others asked of
its keys; of both, only what its own policies had to say.
"""

from collections.abc import Iterator

from keystead.core.declaration import Kind
from keystead.core.errors import NotFound
from keystead.core.key import State
from keystead.core.policy import builtin, version_of
from keystead.core.principal import INSTALLATION
from keystead.service.action import Action, Mode
from keystead.service.commands import Command
from keystead.service.commands import decisions as c
from keystead.service.concerns import hide, owners
from keystead.service.desk import Desk
from keystead.service.entry import Entry, decode
from keystead.service.results.decisions import Explained, Explanation
from keystead.service.subjects import committed, disclose, show


def explain_decision(command: c.ExplainDecision, desk: Desk) -> Explanation:
    """What was decided about a request, and by what."""
    desk.entry.subject = command.name
    desk.allow("keystead:ExplainDecision")
    found = desk.journal.find(command.name)
    decisions = []
    for event, data in found.entries:
        entry = decode(data)
        if desk.account in (entry.account, *owners(entry)):
            hide(entry, desk.account)
            show(entry, disclose(desk.tx, committed(entry)))
            decisions.append(Explained(event, entry, tuple(_changed(entry, desk))))
    if not decisions:
        raise NotFound(
            f"There is no decision {command.name} about this account's principals or keys"
            + (f" in what was searched: {found.missing}." if found.missing else ".")
        )
    return Explanation(decisions, found.missing)


def _changed(entry: Entry, desk: Desk) -> Iterator[str]:
    """The statements that decided whose policies are not any more what they were."""
    for text in entry.matched:
        kind, name, _ = text.split(" ", 2)
        name, _, version = name.rpartition("@")
        if name.startswith("#"):  # a session's own, which lives and ends with it
            continue
        if version and version not in (version_of(now) for now in _texts(kind, name, entry, desk)):
            yield text


def _texts(kind: str, name: str, entry: Entry, desk: Desk) -> Iterator[str]:
    """What the policy that a decision took may be now: of a key policy, that of either key."""
    if kind == "key-policy" and name:  # a role's trust policy, which is asked like one
        role = desk.tx.principal(name)
        yield "" if role is None else role.trust
    elif kind == "key-policy":
        for arn in filter(None, (entry.key, entry.from_key)):
            _, _, _, region, _, resource = arn.split(":", 5)
            key = desk.tx.key(region, resource.removeprefix("key/"))
            if key is not None and key.state is not State.DESTROYED:
                yield key.policy
    elif kind == "guardrail":
        account, _, guardrail = name.partition("/")
        if account in (desk.account, INSTALLATION):
            found = desk.tx.declaration(account, Kind.GUARDRAIL, guardrail)
            yield "" if found is None else found.text
    elif name in builtin.BUILT_IN:
        yield builtin.BUILT_IN[name].text
    elif ":policy/" in name:
        found = desk.tx.declaration(name.split(":")[4], Kind.POLICY, name.partition(":policy/")[2])
        yield "" if found is None else found.text
    else:
        principal = desk.tx.principal(name)
        yield "" if principal is None else principal.policy


ACTIONS: dict[type[Command], Action] = {
    c.ExplainDecision: Action("keystead:ExplainDecision", Mode.READ, explain_decision)
}
