"""Guardrails of an account, and of the installation."""

from collections.abc import Mapping
from typing import Final

import msgspec

from keystead.core.declaration import Declaration
from keystead.core.principal import INSTALLATION
from keystead.fronts.native.row import Name, Page, Row, done
from keystead.service.actions.guardrails import ACCOUNT_WIDE, INSTALLATION_WIDE
from keystead.service.commands import identity as i


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    scope: Name = ACCOUNT_WIDE


class _Text(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    text: str
    scope: Name = ACCOUNT_WIDE


class _OfScope(Page, forbid_unknown_fields=True):
    scope: Name = ACCOUNT_WIDE


def _guardrail(guardrail: Declaration) -> dict[str, object]:
    return {
        "scope": INSTALLATION_WIDE if guardrail.account == INSTALLATION else ACCOUNT_WIDE,
        "name": guardrail.name,
        "text": guardrail.text,
        "created": guardrail.created,
        "updated": guardrail.updated,
    }


ROWS: Final[Mapping[str, Row]] = {
    "PutGuardrail": Row(
        _Text,
        lambda t: i.PutGuardrail(t.name, t.text, t.scope),
        lambda result: _guardrail(result.guardrail),
    ),
    "DescribeGuardrail": Row(
        _Named,
        lambda t: i.DescribeGuardrail(t.name, t.scope),
        lambda result: _guardrail(result.guardrail),
    ),
    "ListGuardrails": Row(
        _OfScope,
        lambda t: i.ListGuardrails(t.scope, t.limit, t.marker),
        lambda page: {"guardrails": [_guardrail(each) for each in page.guardrails], "marker": page.marker},
    ),
    "DeleteGuardrail": Row(_Named, lambda t: i.DeleteGuardrail(t.name, t.scope), done),
}
