"""Tags."""

from collections.abc import Mapping
from typing import Final

from keystead.fronts.aws import model
from keystead.fronts.aws.operations.forms import Row, done, encode, key, page, tags
from keystead.service.commands import kms as c
from keystead.service.results import kms as r


def _tag_list(result: r.TagPage) -> bytes:
    return encode(
        model.ListResourceTagsResponse(
            NextMarker=result.marker or None,
            Tags=[model.Tag(TagKey=name, TagValue=value) for name, value in result.tags],
            Truncated=bool(result.marker),
        )
    )


ROWS: Final[Mapping[str, Row]] = {
    "TagResource": Row(lambda t: c.TagResource(key(t.KeyId), tags(t.Tags)), done),
    "UntagResource": Row(lambda t: c.UntagResource(key(t.KeyId), tuple(t.TagKeys)), done),
    "ListResourceTags": Row(
        lambda t: c.ListResourceTags(key(t.KeyId), page(t.Limit, 50, 50), t.Marker or ""), _tag_list
    ),
}
