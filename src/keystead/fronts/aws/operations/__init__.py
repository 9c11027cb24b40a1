"""AWS KMS's operations: one row for each, in one module for each kind.

A row says how the operation's input (`keystead.fronts.aws.model`) becomes a command and how the command's result
becomes the answer. What the model demands of the input has been checked by then.
"""

from collections.abc import Mapping
from typing import Final

from keystead.fronts.aws.operations import (
    aliases,
    asymmetric,
    crypt,
    grants,
    imports,
    keys,
    keystores,
    policies,
    regions,
    rotation,
    tags,
    usage,
)
from keystead.fronts.aws.operations.forms import Row

ROWS: Final[Mapping[str, Row]] = {
    **crypt.ROWS,
    **asymmetric.ROWS,
    **keys.ROWS,
    **rotation.ROWS,
    **usage.ROWS,
    **imports.ROWS,
    **regions.ROWS,
    **aliases.ROWS,
    **tags.ROWS,
    **policies.ROWS,
    **grants.ROWS,
    **keystores.ROWS,
}
