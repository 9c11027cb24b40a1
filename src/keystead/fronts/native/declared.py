"""Key templates, revisions, and keys with all that can be declared of them: what policy as code needs."""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from keystead.core.declaration import Declaration
from keystead.core.template import MOST_BYTES
from keystead.fronts.native.keys import InRegion
from keystead.fronts.native.row import MOST_PER_PAGE, Name, Page, Row, done
from keystead.service.commands import declared as d
from keystead.service.results import declared as rd

Text = Annotated[str, msgspec.Meta(max_length=MOST_BYTES)]
KeyName = Annotated[str, msgspec.Meta(max_length=250)]
Parameters = Annotated[dict[str, str], msgspec.Meta(max_length=50)]
Number = Annotated[int, msgspec.Meta(ge=0, lt=10**10)]


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    name: Name


class _Template(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    text: Text


class _Ensure(InRegion):
    template: Name
    name: KeyName
    parameters: Parameters = msgspec.field(default_factory=dict)


class _PageInRegion(InRegion):
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_PER_PAGE)] = 100
    marker: str = ""


class _Revision(msgspec.Struct, forbid_unknown_fields=True):
    expected: Number
    state: msgspec.Raw
    comment: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    take_over: bool = False


class _Close(msgspec.Struct, forbid_unknown_fields=True):
    number: Number
    finished: bool
    keys: dict[KeyName, KeyName] = msgspec.field(default_factory=dict)


class _Number(msgspec.Struct, forbid_unknown_fields=True):
    number: Number = 0


def _template(declaration: Declaration) -> dict[str, object]:
    return {
        "name": declaration.name,
        "text": declaration.text,
        "created": declaration.created,
        "updated": declaration.updated,
    }


def _templates(page: rd.TemplatePage) -> dict[str, object]:
    return {"templates": [_template(each) for each in page.templates], "marker": page.marker}


def _ensured(ensured: rd.Ensured) -> dict[str, object]:
    outcome = "created" if ensured.created else "changed" if ensured.changed else "unchanged"
    return {
        "key_id": ensured.key.id,
        "arn": ensured.key.arn,
        "alias": ensured.alias,
        "outcome": outcome,
        "changed": list(ensured.changed),
    }


def _key(state: rd.KeyState) -> dict[str, object]:
    key = state.key
    return {
        "key_id": key.id,
        "arn": key.arn,
        "region": key.region,
        "spec": key.spec,
        "usage": key.usage,
        "description": key.description,
        "state": key.state,
        "created": key.created,
        "origin": key.origin,
        "multi_region": key.multi_region,
        "policy": key.policy,
        "rotation_days": key.rotation_period_days,
        "tags": dict(state.tags),
        "aliases": [alias.name for alias in state.aliases],
        "template": state.template,
    }


def _keys(page: rd.KeyStatePage) -> dict[str, object]:
    return {
        "account": page.account,
        "region": page.region,
        "keys": [_key(each) for each in page.keys],
        "left_out": page.left_out,
        "marker": page.marker,
    }


def _head(revision: rd.Revision) -> dict[str, object]:
    return {
        "number": revision.number,
        "by": revision.by,
        "comment": revision.comment,
        "created": revision.created,
        "closed": revision.closed,
        "finished": revision.finished,
    }


def _revision(result: rd.RevisionDescription) -> dict[str, object]:
    return {
        "account": result.account,
        **_head(result.revision),
        "keys": result.revision.keys,
        "state": msgspec.Raw(result.state.encode()),
    }


def _begun(result: rd.RevisionDescription) -> dict[str, object]:
    return _head(result.revision)


ROWS: Final[Mapping[str, Row]] = {
    "PutTemplate": Row(
        _Template, lambda t: d.PutTemplate(t.name, t.text), lambda result: _template(result.template)
    ),
    "DescribeTemplate": Row(
        _Named, lambda t: d.DescribeTemplate(t.name), lambda result: _template(result.template)
    ),
    "ListTemplates": Row(Page, lambda t: d.ListTemplates(t.limit, t.marker), _templates),
    "EnsureKey": Row(
        _Ensure, lambda t: d.EnsureKey(t.template, t.name, tuple(t.parameters.items())), _ensured
    ),
    "DeleteTemplate": Row(_Named, lambda t: d.DeleteTemplate(t.name), done),
    "ListKeyStates": Row(_PageInRegion, lambda t: d.ListKeyStates(t.limit, t.marker), _keys),
    "PutRevision": Row(
        _Revision,
        lambda t: d.PutRevision(t.expected, bytes(t.state).decode(), t.comment, t.take_over),
        _begun,
    ),
    "CloseRevision": Row(
        _Close, lambda t: d.CloseRevision(t.number, t.finished, tuple(t.keys.items())), _begun
    ),
    "DescribeRevision": Row(_Number, lambda t: d.DescribeRevision(t.number), _revision),
    "ListRevisions": Row(
        Page,
        lambda t: d.ListRevisions(t.limit, t.marker),
        lambda page: {"revisions": [_head(each) for each in page.revisions], "marker": page.marker},
    ),
}
