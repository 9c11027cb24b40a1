"""Policies: who may do what, in AWS's policy language, and one function that decides.

A policy is a JSON document of statements. Each allows or denies actions on resources, under conditions. The
*key policy* belongs to a key and names principals; *identity policies* belong to a principal or its groups and
name nobody; a *permission boundary* and *session policies* limit what those give; a *guardrail* of an account
only denies. Parsing turns a document into closures, once. `decide` puts the documents together as AWS does::

    ruling = decide(
        Question(
            principal="arn:aws:iam::111122223333:user/app",
            account="111122223333",
            identity_policy=parse_identity_policy(text),
            action="kms:Decrypt",
            resource=key_arn,
            key_policy=parse_key_policy(default_key_policy("111122223333")),
            key_account="111122223333",
            context=folded({"kms:EncryptionContext:app": "payroll"}),
        )
    )
    ruling.allowed, ruling.source, ruling.explain()

`wildcards` matches texts, `keys` lists the condition keys, `conditions` has the operators, `document` parses and
`decision` decides; its docstring has the rules. ``tests/core/policy/spec.py`` says the same in plain loops.
"""

from keystead.core.policy.decision import Matched, Missing, Question, Ruling, Values, decide, folded
from keystead.core.policy.document import (
    MAX_BYTES,
    MAX_SID,
    VERSIONS,
    Document,
    check_denials,
    default_key_policy,
    parse_guardrail,
    parse_identity_policy,
    parse_key_policy,
    parse_trust_policy,
    version_of,
)
from keystead.core.policy.statement import Effect, Statement

__all__ = [
    "MAX_BYTES",
    "MAX_SID",
    "VERSIONS",
    "Document",
    "Effect",
    "Matched",
    "Missing",
    "Question",
    "Ruling",
    "Statement",
    "Values",
    "check_denials",
    "decide",
    "default_key_policy",
    "folded",
    "parse_guardrail",
    "parse_identity_policy",
    "parse_key_policy",
    "parse_trust_policy",
    "version_of",
]
