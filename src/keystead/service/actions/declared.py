"""Key templates and the keys made from them; revisions; and how keys are, for those who compare.

Whoever may *ensure* keys of a template need not be allowed anything else: the template's author has decided what the
keys are like, and the caller gives a name and parameters. But what is denied stays denied. A guardrail on
``kms:CreateKey``, on tags or on aliases holds for keys of templates as for all others, with the template's tags as
those of the request. Which template a key was made from is remembered where no tag can claim it, and a key that was
not made from the template is never brought to it.

A *revision* is what the account was declared to be (`keystead.plan`). It is begun before the first change and closed
after the last one, and there is one open revision at a time. So two people who apply at once do not mix: the one who
planned from an older revision is refused.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import msgspec

from keystead.core.declaration import Declaration, Kind
from keystead.core.errors import AlreadyExists, InvalidRequest, NotFound, TooLarge
from keystead.core.key import Event, Key
from keystead.core.names import KeyReference
from keystead.core.policy import default_key_policy
from keystead.core.template import (
    Shape,
    Template,
    check_template,
    is_template_name,
    parse_template,
    template_arn,
)
from keystead.service.action import Action, Mode
from keystead.service.actions import aliases, keys, policies, rotation, tags
from keystead.service.commands import Command
from keystead.service.commands import declared as d
from keystead.service.commands import kms as c
from keystead.service.desk import ALL_OF_A_KEY, Desk
from keystead.service.results import Done
from keystead.service.results.declared import (
    Ensured,
    KeyState,
    KeyStatePage,
    Revision,
    RevisionDescription,
    RevisionPage,
    TemplateDescription,
    TemplatePage,
)

STATE_BYTES: Final = 1_000_000
"""The largest state of a revision."""

KEPT: Final = 100
"""How many revisions are kept; with a new one the oldest goes."""

ABANDONED_SECONDS: Final = 900.0
"""An open revision of that age counts as one whose author is gone."""

_SEEN: Final = ("kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListResourceTags")
_COMMENT: Final = 500
_DIGITS: Final = 10
_HEAD: Final = re.compile(rf"[0-9]{{{_DIGITS}}}")

_decode_head: Final = msgspec.json.Decoder(Revision).decode
_encode: Final = msgspec.json.Encoder(order="sorted").encode


# --- templates -------------------------------------------------------------------------------------------


def put_template(command: d.PutTemplate, desk: Desk) -> TemplateDescription:
    """Store a key template. Keys that were made from it change when they are ensured the next time."""
    if not is_template_name(command.name):
        raise InvalidRequest("A template's name is 1 to 64 letters, digits and the characters + = , . @ _ -")
    _allowed(desk, "keystead:PutTemplate", command.name)
    text = check_template(parse_template(command.text)).text
    before = desk.tx.declaration(desk.account, Kind.TEMPLATE, command.name)
    after = Declaration(
        account=desk.account,
        kind=Kind.TEMPLATE,
        name=command.name,
        text=text,
        created=desk.now if before is None else before.created,
        updated=desk.now,
    )
    desk.tx.put_declaration(after)
    return TemplateDescription(after)


def delete_template(command: d.DeleteTemplate, desk: Desk) -> Done:
    """Remove a key template."""
    _allowed(desk, "keystead:DeleteTemplate", command.name)
    _existing(desk, command.name)
    desk.tx.delete_declaration(desk.account, Kind.TEMPLATE, command.name)
    return Done()


def describe_template(command: d.DescribeTemplate, desk: Desk) -> TemplateDescription:
    """Look at a key template."""
    _allowed(desk, "keystead:DescribeTemplate", command.name)
    return TemplateDescription(_existing(desk, command.name))


def list_templates(command: d.ListTemplates, desk: Desk) -> TemplatePage:
    """The account's key templates in the order of their names."""
    desk.allow("keystead:ListTemplates")
    templates, marker = desk.page(
        "templates",
        command.marker,
        command.limit,
        lambda after, count: desk.tx.declarations(desk.account, Kind.TEMPLATE, after, count),
        lambda each: each.name,
    )
    return TemplatePage(templates, marker)


def _allowed(desk: Desk, action: str, name: str) -> None:
    arn = template_arn(desk.account, name)
    desk.entry.subject = arn
    desk.allow(action, arn)


def _existing(desk: Desk, name: str) -> Declaration:
    found = desk.tx.declaration(desk.account, Kind.TEMPLATE, name)
    if found is None:
        raise NotFound(f"There is no template {name}. List them with: keystead template list")
    return found


# --- keys of templates -----------------------------------------------------------------------------------


def prepare_ensured(command: d.EnsureKey, desk: Desk) -> keys.NewKey | None:
    """Make the material of the key, if there is none yet."""
    shape = _shape(command, desk)
    if desk.alias_of(shape.alias) is not None:
        return None
    new = _creation(shape)
    return keys.prepare_key(new, desk.vouch(new))


def ensure_key(command: d.EnsureKey, desk: Desk) -> Ensured:
    """See to it that there is the key. Asked again it does nothing, and asked by two at once it makes one."""
    shape = _shape(command, desk)
    entry = desk.entry
    decided = entry.decision, entry.decided_by, entry.statement, tuple(dict.fromkeys(entry.matched))
    alias = desk.alias_of(shape.alias)
    changed: tuple[str, ...] = ()
    if alias is None:
        key = _created(command, shape, desk)
    else:
        _give_back(desk)
        found = desk.tx.key(desk.region, alias.key_id)
        if found is None or _made_from(desk, found) != command.template:
            raise AlreadyExists(
                f"{shape.alias} leads to a key that was not made from the template {command.template}. Name the new "
                "key differently, or delete the alias."
            )
        key, changed = _corrected(shape, found, desk)
    # How the parts were decided is not how the whole was.
    entry.decision, entry.decided_by, entry.statement, entry.matched = decided
    entry.subject = f"{template_arn(desk.account, command.template)} {shape.alias}"
    entry.key = key.arn
    return Ensured(key, shape.alias, alias is None, changed)


def _shape(command: d.EnsureKey, desk: Desk) -> Shape:
    _allowed(desk, "keystead:EnsureKey", command.template)
    template: Template = parse_template(_existing(desk, command.template).text)
    return template.shape(command.name, dict(command.parameters))


def _creation(shape: Shape) -> c.CreateKey:
    return c.CreateKey(
        spec=shape.spec,
        usage=shape.usage,
        description=shape.description,
        policy=shape.policy,
        tags=shape.tags,
        multi_region=shape.multi_region,
    )


def _created(command: d.EnsureKey, shape: Shape, desk: Desk) -> Key:
    new = _creation(shape)
    part = desk.vouch(new)
    if desk.prepared is None:  # there was an alias a moment ago
        part.prepared = keys.prepare_key(new, part)
    key: Key = keys.create_key(new, part).key
    desk.tx.put_setting(_mark(key), command.template)
    _part(desk, c.CreateAlias(shape.alias, KeyReference(key.id)), aliases.create_alias)
    if shape.rotation_days is not None:
        _part(
            desk, c.EnableKeyRotation(KeyReference(key.id), shape.rotation_days), rotation.enable_key_rotation
        )
    return _now(desk, key)


def _give_back(desk: Desk) -> None:
    """Erase material that was made for a key that somebody else has made meanwhile."""
    new = cast("keys.NewKey | None", desk.prepared)
    if new is not None and new.material is not None:
        desk.destroy(desk.account, new.material.handle)


def _corrected(shape: Shape, key: Key, desk: Desk) -> tuple[Key, tuple[str, ...]]:
    """The key as it should be, and what had to be changed."""
    key.after(Event.CONFIGURE)
    fixed = {"spec": key.spec, "usage": key.usage, "multi_region": key.multi_region}
    for name, is_now in fixed.items():
        if is_now != getattr(shape, name):
            raise AlreadyExists(
                f"{shape.alias} leads to a key whose {name} is {is_now}, which cannot be changed to "
                f"{getattr(shape, name)}. Name the new key differently."
            )
    reference = KeyReference(key.id)
    changed = []
    if key.description != shape.description:
        _part(desk, c.UpdateKeyDescription(reference, shape.description), keys.update_key_description)
        changed.append("description")
    wanted, present = dict(shape.tags), dict(desk.tx.tags(key.region, key.id, "", ALL_OF_A_KEY))
    if put := tuple((name, value) for name, value in shape.tags if present.get(name) != value):
        _part(desk, c.TagResource(reference, put), tags.tag_resource)
    if gone := tuple(name for name in present if name not in wanted):
        _part(desk, c.UntagResource(reference, gone), tags.untag_resource)
    if put or gone:
        changed.append("tags")
    if key.rotation_period_days != shape.rotation_days:
        if shape.rotation_days is None:
            _part(desk, c.DisableKeyRotation(reference), rotation.disable_key_rotation)
        else:
            _part(desk, c.EnableKeyRotation(reference, shape.rotation_days), rotation.enable_key_rotation)
        changed.append("rotation_days")
    # Last, because after it the key's policy may deny what came before.
    policy = default_key_policy(desk.account) if shape.policy is None else shape.policy
    if key.policy != policy:
        _part(desk, c.PutKeyPolicy(reference, policy), policies.put_key_policy)
        changed.append("policy")
    return _now(desk, key), tuple(changed)


def _part(desk: Desk, command: Command, run: Callable[[Any, Desk], object]) -> None:
    run(command, desk.vouch(command))


def _now(desk: Desk, key: Key) -> Key:
    """The key as this transaction has left it."""
    return desk.tx.key(key.region, key.id) or key


def _mark(key: Key) -> str:
    return f"template-of {key.ref}"


def _made_from(desk: Desk, key: Key) -> str:
    return desk.tx.setting(_mark(key)) or ""


# --- how keys are ----------------------------------------------------------------------------------------


def list_key_states(command: d.ListKeyStates, desk: Desk) -> KeyStatePage:
    """The account's keys, as far as the caller may see all of what is told of one; the others are counted."""
    desk.allow("keystead:ListKeyStates")
    found, marker = desk.page(
        "key states",
        command.marker,
        command.limit,
        lambda after, count: desk.tx.keys(desk.account, desk.region, after, count),
        lambda key: key.id,
    )
    seen = [key for key in found if desk.sees(key, *_SEEN)]
    states = [
        KeyState(
            key,
            desk.tx.tags(key.region, key.id, "", ALL_OF_A_KEY),
            desk.tx.aliases(key.account, key.region, key.id, "", ALL_OF_A_KEY),
            _made_from(desk, key),
        )
        for key in seen
    ]
    return KeyStatePage(desk.account, desk.region, states, len(found) - len(seen), marker)


# --- revisions -------------------------------------------------------------------------------------------


def put_revision(command: d.PutRevision, desk: Desk) -> RevisionDescription:
    """Begin the next revision, unless somebody else has since the caller looked, or is at it now."""
    _revisions(desk, "keystead:PutRevision")
    if len(command.comment) > _COMMENT or not command.comment.isprintable():
        raise InvalidRequest(f"A comment has at most {_COMMENT} printable characters.")
    state = _canonical(command.state)
    newest = _newest(desk)
    if newest is not None:
        _check_free(newest, command, desk.now)
    number = 0 if newest is None else newest.number
    if number != command.expected:
        raise AlreadyExists(
            f"The newest revision is {number} and not {command.expected}: somebody has applied since you planned. Plan "
            "again."
        )
    begun = Revision(
        number=number + 1,
        by=desk.caller.identity.arn,
        comment=command.comment,
        created=desk.now,
        keys={} if newest is None else newest.keys,
    )
    _save(desk, begun)
    _put(desk, _state_name(begun.number), state)
    for name in (
        (_head_name(begun.number - KEPT), _state_name(begun.number - KEPT)) if begun.number > KEPT else ()
    ):
        desk.tx.delete_declaration(desk.account, Kind.REVISION, name)
    desk.tx.put_setting(_newest_setting(desk), str(begun.number))
    desk.entry.subject = f"revision {begun.number}"
    return RevisionDescription(desk.account, begun, state)


def _check_free(newest: Revision, command: d.PutRevision, now: float) -> None:
    open_for = now - newest.created
    if newest.closed or command.take_over or open_for >= ABANDONED_SECONDS:
        return
    raise AlreadyExists(
        f"{newest.by} is applying revision {newest.number} since {open_for:.0f} seconds. Wait for it; if it has "
        "failed, take over."
    )


def close_revision(command: d.CloseRevision, desk: Desk) -> RevisionDescription:
    """Close the newest revision. To close it again in the same way changes nothing."""
    _revisions(desk, "keystead:PutRevision")
    desk.entry.subject = f"revision {command.number}"
    newest = _newest(desk)
    if newest is None or newest.number != command.number:
        raise NotFound(f"Revision {command.number} is not the newest.")
    if newest.closed and newest.finished is not command.finished:
        raise AlreadyExists(f"Revision {command.number} is closed already.")
    closed = msgspec.structs.replace(
        newest,
        closed=newest.closed or desk.now,
        finished=command.finished,
        keys={**newest.keys, **dict(command.keys)},
    )
    _save(desk, closed)
    return RevisionDescription(desk.account, closed, _state(desk, closed.number))


def describe_revision(command: d.DescribeRevision, desk: Desk) -> RevisionDescription:
    """Look at a revision; when there is none yet, the newest has number 0 and declares nothing."""
    _revisions(desk, "keystead:DescribeRevision")
    desk.entry.subject = f"revision {command.number or 'newest'}"
    found = _head(desk, command.number) if command.number else _newest(desk)
    if found is None and command.number:
        raise NotFound(f"There is no revision {command.number}. List them with: keystead revision list")
    if found is None:
        return RevisionDescription(desk.account, Revision(number=0, by="", comment="", created=0.0), "{}")
    return RevisionDescription(desk.account, found, _state(desk, found.number))


def list_revisions(command: d.ListRevisions, desk: Desk) -> RevisionPage:
    """The account's revisions, the oldest first."""
    _revisions(desk, "keystead:ListRevisions")
    found, marker = desk.page(
        "revisions",
        command.marker,
        command.limit,
        lambda after, count: [
            each
            for each in desk.tx.declarations(desk.account, Kind.REVISION, after, min(count, KEPT))
            if _HEAD.fullmatch(each.name)
        ],
        lambda each: each.name,
    )
    return RevisionPage([_decode_head(each.text) for each in found], marker)


def _revisions(desk: Desk, action: str) -> None:
    desk.allow(action)


def _canonical(text: str) -> str:
    try:
        state = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest("A revision's state must be JSON.") from None
    if not isinstance(state, dict):
        raise InvalidRequest("A revision's state must be a JSON object.")
    canonical = _encode(state)
    if len(canonical) > STATE_BYTES:
        raise TooLarge(f"The state has {len(canonical)} bytes, and a revision's may have {STATE_BYTES}.")
    return canonical.decode()


def _newest(desk: Desk) -> Revision | None:
    number = int(desk.tx.setting(_newest_setting(desk)) or 0)
    return _head(desk, number) if number else None


def _newest_setting(desk: Desk) -> str:
    return f"newest-revision {desk.account}"


def _head(desk: Desk, number: int) -> Revision | None:
    found = desk.tx.declaration(desk.account, Kind.REVISION, _head_name(number))
    return None if found is None else _decode_head(found.text)


def _state(desk: Desk, number: int) -> str:
    found = desk.tx.declaration(desk.account, Kind.REVISION, _state_name(number))
    return "{}" if found is None else found.text


def _save(desk: Desk, revision: Revision) -> None:
    _put(desk, _head_name(revision.number), _encode(revision).decode())


def _put(desk: Desk, name: str, text: str) -> None:
    desk.tx.put_declaration(
        Declaration(
            account=desk.account,
            kind=Kind.REVISION,
            name=name,
            text=text,
            created=desk.now,
            updated=desk.now,
        )
    )


def _head_name(number: int) -> str:
    return f"{number:0{_DIGITS}}"


def _state_name(number: int) -> str:
    """Of what a revision declares, which is large: after all heads in the order of names."""
    return f"state-{number:0{_DIGITS}}"


ACTIONS: Final[Mapping[type[Command], Action]] = {
    d.PutTemplate: Action("keystead:PutTemplate", Mode.WRITE, put_template),
    d.DeleteTemplate: Action("keystead:DeleteTemplate", Mode.WRITE, delete_template),
    d.DescribeTemplate: Action("keystead:DescribeTemplate", Mode.READ, describe_template),
    d.ListTemplates: Action("keystead:ListTemplates", Mode.READ, list_templates),
    d.EnsureKey: Action("keystead:EnsureKey", Mode.WRITE, ensure_key, before=prepare_ensured),
    d.ListKeyStates: Action("keystead:ListKeyStates", Mode.READ, list_key_states),
    d.PutRevision: Action("keystead:PutRevision", Mode.WRITE, put_revision),
    d.CloseRevision: Action("keystead:PutRevision", Mode.WRITE, close_revision),
    d.DescribeRevision: Action("keystead:DescribeRevision", Mode.READ, describe_revision),
    d.ListRevisions: Action("keystead:ListRevisions", Mode.READ, list_revisions),
}
