"""Key policies: reading them and replacing them without locking oneself out."""

from dataclasses import replace

from keystead.core.key import Event
from keystead.core.policy import check_denials, parse_key_policy
from keystead.service.commands import kms as c
from keystead.service.desk import Desk
from keystead.service.results import Done
from keystead.service.results.kms import Policy


def get_key_policy(command: c.GetKeyPolicy, desk: Desk) -> Policy:
    """A key's policy, to the letter as it was put."""
    return Policy(desk.key(command.key, Event.READ, "kms:GetKeyPolicy").policy)


def put_key_policy(command: c.PutKeyPolicy, desk: Desk) -> Done:
    """Replace a key's policy; in force when it returns."""
    key = desk.key(command.key, Event.SET_POLICY, "kms:PutKeyPolicy")
    policy = check_denials(parse_key_policy(command.policy))
    if not command.bypass_lockout_check:
        desk.refuse_lockout(policy, key.arn)
    desk.save(replace(key, policy=command.policy))
    return Done()


def list_key_policies(command: c.ListKeyPolicies, desk: Desk) -> Done:
    """There is one policy, and its name is ``default``."""
    desk.key(command.key, Event.READ, "kms:ListKeyPolicies")
    return Done()
