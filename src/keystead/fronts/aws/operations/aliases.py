"""Aliases."""

from collections.abc import Mapping
from typing import Final

from keystead.fronts.aws import model
from keystead.fronts.aws.operations.forms import Row, done, encode, key, optional_key, page
from keystead.service.commands import kms as c
from keystead.service.results import kms as r


def _aliases(result: r.AliasPage) -> bytes:
    return encode(
        model.ListAliasesResponse(
            Aliases=[
                model.AliasListEntry(
                    AliasArn=alias.arn,
                    AliasName=alias.name,
                    CreationDate=alias.created,
                    LastUpdatedDate=alias.updated,
                    TargetKeyId=alias.key_id,
                )
                for alias in result.aliases
            ],
            NextMarker=result.marker or None,
            Truncated=bool(result.marker),
        )
    )


ROWS: Final[Mapping[str, Row]] = {
    "CreateAlias": Row(lambda t: c.CreateAlias(t.AliasName, key(t.TargetKeyId)), done),
    "UpdateAlias": Row(lambda t: c.UpdateAlias(t.AliasName, key(t.TargetKeyId)), done),
    "DeleteAlias": Row(lambda t: c.DeleteAlias(t.AliasName), done),
    "ListAliases": Row(
        lambda t: c.ListAliases(optional_key(t.KeyId), page(t.Limit, 50, 100), t.Marker or ""), _aliases
    ),
}
