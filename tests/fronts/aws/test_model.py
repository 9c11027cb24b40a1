"""The generated model against the botocore that is installed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest
from botocore.loaders import Loader

from keystead.fronts.aws.model import OPERATIONS, DescribeKeyResponse, EncryptRequest, KeyMetadata
from keystead.fronts.aws.shapes import Structure

GENERATOR = Path(__file__).parents[3] / "tools/generate_aws_model.py"
AWS: dict[str, Any] = Loader().load_service_model("kms", "service-2")
PYTHON = {
    "string": str,
    "blob": bytes,
    "integer": int,
    "boolean": bool,
    "timestamp": float,
}


def bare(kind: Any) -> Any:
    """A member's type without its None and its constraints."""
    while get_origin(kind) is not list and get_origin(kind) is not dict and get_args(kind):
        kind = get_args(kind)[0]
    return kind


def agrees(shape_name: str, kind: Any) -> bool:
    """Whether a type decodes what AWS's shape describes, all the way down."""
    shape, found = AWS["shapes"][shape_name], bare(kind)
    match shape["type"]:
        case "structure":
            fields = {field.encode_name: field.type for field in msgspec.structs.fields(found)}
            return bool(
                list(fields) == list(shape["members"])
                and list(found.required) == shape.get("required", [])
                and all(agrees(member["shape"], fields[name]) for name, member in shape["members"].items())
            )
        case "list":
            return get_origin(found) is list and agrees(shape["member"]["shape"], get_args(found)[0])
        case "map":
            return bool(found == dict[str, str])
        case scalar:
            return bool(found is PYTHON[scalar])


def test_the_model_is_what_the_installed_botocore_says() -> None:
    """A new or changed operation of AWS's makes this fail, and the message names it."""
    done = subprocess.run([sys.executable, GENERATOR, "--check"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, (
        f"run tools/generate_aws_model.py and read what changed:\n{done.stdout}{done.stderr}"
    )


def test_every_operation_is_there() -> None:
    """The table has exactly AWS's operations, each under its own name."""
    assert set(OPERATIONS) == set(AWS["operations"])
    assert all(operation.name == name for name, operation in OPERATIONS.items())


@pytest.mark.parametrize("name", sorted(AWS["operations"]))
def test_inputs_outputs_and_errors_are_aws_s(name: str) -> None:
    """Members, their types, what is required and what is documented to fail agree, nested ones too."""
    ours, theirs = OPERATIONS[name], AWS["operations"][name]

    assert agrees(theirs["input"]["shape"], ours.input)
    assert (ours.output is None) is ("output" not in theirs)
    if ours.output is not None:
        assert agrees(theirs["output"]["shape"], ours.output)
    assert sorted(ours.errors) == sorted(error["shape"] for error in theirs["errors"])


def test_an_answer_leaves_out_what_it_has_not() -> None:
    """A member that is None is absent; an empty string, a zero and a false are not."""
    answer = DescribeKeyResponse(
        KeyMetadata=KeyMetadata(KeyId="k", Description="", Enabled=False, CreationDate=0.5)
    )

    assert json.loads(msgspec.json.encode(answer)) == {
        "KeyMetadata": {"KeyId": "k", "Description": "", "Enabled": False, "CreationDate": 0.5}
    }


def test_nothing_shows_the_values_of_a_request() -> None:
    """A request may hold plaintext, so it does not show what is in it."""
    request = EncryptRequest(KeyId="k", Plaintext=b"hunter2")

    assert repr(request) == "<EncryptRequest>"
    assert request.__rich_repr__() == []
    assert repr([request, Structure()]) == "[<EncryptRequest>, <Structure>]"
