"""Proving what the audit logs hold: to accounts, of what concerns them.

An account gets proofs of the entries that concern it (`keystead.service.concerns`): of what its principals asked for,
and of what others asked of its keys. A proof holds an entry to the last byte, or it would prove
nothing. So an entry that tells what another account's policies said is not proven here; whoever runs the service can,
from the files.

Checkpoints say how many entries a log has and nothing of what is in them. They are there to be handed round.
"""

from keystead.core.errors import AccessDenied, NotFound
from keystead.service.action import Action, Mode
from keystead.service.commands import Command
from keystead.service.commands import proofs as c
from keystead.service.concerns import seen
from keystead.service.desk import Desk
from keystead.service.entry import decode
from keystead.service.results import proofs as r
from keystead.service.subjects import committed, disclose

VKEY_SETTING = "audit-vkey"


def prove_event(command: c.ProveEvent, desk: Desk) -> r.Proofs:
    """Proofs of an event, or of all of a request's."""
    desk.entry.subject = command.name
    desk.allow("keystead:ProveEvent")
    events, missing = [command.name], ""
    if "/" not in command.name:
        found = desk.journal.find(command.name)
        missing = found.missing
        events = [event for event, entry in found.entries if desk.account in dict(seen(entry))]
    proofs, pending = [], []
    hidden: list[str] = []
    for event in events:
        proof = desk.journal.prove(event)
        if proof is None:
            pending.append(event)
            continue
        entry = dict(seen(proof.entry)).get(desk.account)
        if entry is None:
            raise NotFound(f"There is no event {event} about this account's principals or keys.")
        if entry != proof.entry:
            raise AccessDenied(
                f"The entry {event} also says what another account's policies had to say: only who runs the service "
                f"can prove it, from the files."
            )
        proofs.append(proof.text)
        hidden += committed(decode(entry))
    if not events:
        raise NotFound(
            f"There is no request {command.name} about this account's principals or keys"
            + (f" in what was searched: {missing}." if missing else ".")
        )
    return r.Proofs(tuple(proofs), tuple(pending), missing, disclose(desk.tx, hidden))


def prove_consistency(command: c.ProveConsistency, desk: Desk) -> r.Consistency:
    """A proof that a log begins with what a kept checkpoint has signed."""
    desk.entry.subject = command.checkpoint.partition("\n")[0][:128]
    desk.allow("keystead:ProveConsistency")
    return r.Consistency(desk.journal.prove_consistency(command.checkpoint))


def list_checkpoints(_: c.ListCheckpoints, desk: Desk) -> r.Checkpoints:
    """The newest checkpoints."""
    desk.allow("keystead:ListCheckpoints")
    keys, checkpoints = desk.journal.checkpoints()
    return r.Checkpoints(desk.tx.setting(VKEY_SETTING) or "", keys, checkpoints)


ACTIONS: dict[type[Command], Action] = {
    c.ProveEvent: Action("keystead:ProveEvent", Mode.READ, prove_event),
    c.ProveConsistency: Action("keystead:ProveConsistency", Mode.READ, prove_consistency),
    c.ListCheckpoints: Action("keystead:ListCheckpoints", Mode.READ, list_checkpoints),
}
