"""Declarations: the texts that an account is governed by, each under a name.

* a **policy** is attached to principals by its ARN, or is their permission boundary;
* a **guardrail** only denies, and denies everybody in the account; those of the installation's own account
  (`keystead.core.principal.INSTALLATION`) deny everybody in every account;
* a **template** says what the keys are like that are made from it;
* a **revision** is what an account was declared to be at one time, so that it can be had again.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a declaration is."""

    POLICY = "policy"
    GUARDRAIL = "guardrail"
    TEMPLATE = "template"
    REVISION = "revision"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One text. ``created`` and ``updated`` are Unix seconds."""

    account: str
    kind: Kind
    name: str
    text: str
    created: float
    updated: float


def declaration_ref(account: str, kind: Kind, name: str) -> str:
    """What the change feed calls a declaration.

    All guardrails of an account have one name there: a new one is no less a change for everybody than an old one.
    """
    return f"{account}/{kind}" if kind is Kind.GUARDRAIL else f"{account}/{kind}/{name}"
