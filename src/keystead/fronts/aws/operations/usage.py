"""When a key was last used."""

from collections.abc import Mapping
from typing import Final

from keystead.fronts.aws import model
from keystead.fronts.aws.operations.forms import Row, encode, key
from keystead.service.commands import kms as c
from keystead.service.entry import event_id
from keystead.service.results import kms as r


def _last_usage(result: r.LastUsage) -> bytes:
    use = result.last
    # AWS, GetKeyLastUsage: of a key that was not used the element is there, and empty.
    data = model.KeyLastUsageData()
    if use is not None:
        data = model.KeyLastUsageData(
            Operation=use.action.removeprefix("kms:"),
            Timestamp=use.time,
            CloudTrailEventId=event_id(use.event),
            KmsRequestId=use.request,
        )
    return encode(
        model.GetKeyLastUsageResponse(
            KeyId=result.key.arn,
            KeyLastUsage=data,
            TrackingStartDate=result.tracked_since,
            KeyCreationDate=result.key.created,
        )
    )


ROWS: Final[Mapping[str, Row]] = {
    "GetKeyLastUsage": Row(lambda t: c.GetKeyLastUsage(key(t.KeyId)), _last_usage),
}
