"""GetKeyLastUsage in AWS's form."""

import json

import pytest

from keystead.core.key import Key, State
from keystead.core.ports import Use
from keystead.fronts.aws.operations.usage import ROWS
from keystead.fronts.aws.shapes import Structure
from keystead.service.commands import kms as c
from keystead.service.entry import event_id
from keystead.service.results.kms import LastUsage

ROW = ROWS["GetKeyLastUsage"]
KEY = Key(
    id="1234abcd-12ab-34cd-56ef-1234567890ab",
    account="111122223333",
    region="eu-central-1",
    spec="SYMMETRIC_DEFAULT",
    usage="ENCRYPT_DECRYPT",
    state=State.DISABLED,
    created=1000.5,
    description="",
    policy="",
)


def test_a_key_that_was_used() -> None:
    """The operation without its prefix, the time in seconds, a UUID for the event, the request as it was."""
    use = Use("kms:GenerateDataKeyPair", 2000.25, "6f1e", "keystead-12/w0/7")
    assert json.loads(ROW.write(LastUsage(KEY, use, 1500.0))) == {
        "KeyId": KEY.arn,
        "KeyCreationDate": 1000.5,
        "TrackingStartDate": 1500.0,
        "KeyLastUsage": {
            "Operation": "GenerateDataKeyPair",
            "Timestamp": 2000.25,
            "CloudTrailEventId": event_id("keystead-12/w0/7"),
            "KmsRequestId": "6f1e",
        },
    }


def test_a_key_that_was_not_used() -> None:
    """The element is there, and empty."""
    assert json.loads(ROW.write(LastUsage(KEY, None, 1000.5)))["KeyLastUsage"] == {}


def test_the_key_is_named_as_everywhere() -> None:
    """By id or ARN."""

    class Taken(Structure):
        """As the model's structure."""

        KeyId: str

    for text in (KEY.id, KEY.arn):
        command = ROW.command(Taken(KeyId=text))
        assert isinstance(command, c.GetKeyLastUsage)
        assert command.key.name == KEY.id


@pytest.mark.parametrize("event", ["keystead-12/w0/7", "keystead-12/w0/8", "keystead-13/w0/7"])
def test_an_event_has_one_id(event: str) -> None:
    """Every entry of every installation has its own, in the form of a UUID, and always the same."""
    found = event_id(event)
    assert found == event_id(event)
    assert [len(part) for part in found.split("-")] == [8, 4, 4, 4, 12]
    assert found[14] == "5"
