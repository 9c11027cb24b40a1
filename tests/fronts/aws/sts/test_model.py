"""The generated model against the botocore that is installed. `tests/fronts/aws/test_model.py` runs the check."""

import re
from typing import Any

import pytest
from botocore.loaders import Loader

from keystead.core.errors import InvalidRequest
from keystead.fronts.aws.sts import model
from keystead.fronts.aws.sts.operations import ROWS, UNSIGNED
from keystead.fronts.aws.validate import validate

AWS: dict[str, Any] = Loader().load_service_model("sts", "service-2")


def test_every_operation_of_aws_is_served_or_named_as_not() -> None:
    """So a new one makes the check fail, and is thought about."""
    assert set(ROWS) == set(model.OPERATIONS)
    assert set(model.OPERATIONS) | set(model.OTHERS) == set(AWS["operations"])


def test_the_operation_that_is_not_signed_is_aws_s() -> None:
    """Of those that are served there is one."""
    unsigned = {name for name in ROWS if AWS["operations"][name].get("authtype") == "none"}
    assert unsigned == {UNSIGNED}


@pytest.mark.parametrize("name", sorted(ROWS))
def test_inputs_and_outputs_have_aws_s_members(name: str) -> None:
    """In their order, and those that must be there."""
    ours, theirs = model.OPERATIONS[name], AWS["operations"][name]
    for structure, shape in ((ours.input, theirs["input"]), (ours.output, theirs["output"])):
        described = AWS["shapes"][shape["shape"]]
        assert structure is not None
        assert list(structure.__struct_fields__) == list(described.get("members", ()))
        assert list(structure.required) == described.get("required", [])


@pytest.mark.parametrize("text", ["team", "Team 7_.:/=+-@", "Größe", "部門", "٣", "a\u00a0b", "a\u3000b"])
def test_tags_may_be_written_in_any_script(text: str) -> None:
    """AWS's pattern has Unicode's letters, numbers and separators."""
    validate(model.OPERATIONS["AssumeRole"], tagged(text))


@pytest.mark.parametrize("text", ["a\tb", "a\nb", "a*b", "a,b", "😀", "a\u0301", "\x85"])
def test_tags_may_not_have_everything(text: str) -> None:
    """Neither control characters nor symbols; the answer names the pattern as AWS does."""
    pattern = re.escape(r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+")
    with pytest.raises(
        InvalidRequest, match=f"'tags.1.member.key' failed to satisfy constraint: .*{pattern}"
    ):
        validate(model.OPERATIONS["AssumeRole"], tagged(text))


def tagged(name: str) -> model.AssumeRoleRequest:
    """A request with one tag."""
    return model.AssumeRoleRequest(
        RoleArn="arn:aws:iam::111122223333:role/x",
        RoleSessionName="ci",
        Tags=[model.Tag(Key=name, Value="")],
    )
