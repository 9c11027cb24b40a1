"""Forms: the parameters of a request, and the structures of the model that they stand for.

``Tags.member.2.Value`` is the member ``Value`` of the second element of ``Tags``. Whatever could be read in two ways is
refused: a parameter that stands there twice, and one that is not the operation's, since a limit that is misspelled
must not be a limit that is missing.
"""

import re
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec

from keystead.core.errors import InvalidRequest, KeysteadError, Kind, TooLarge
from keystead.fronts.aws.shapes import Structure

MAX_BYTES: Final = 65_536  # the longest token, and policies, with room for their escapes
MAX_PARAMETERS: Final = 256  # 50 tags have 100, and as many names of them may be transitive
_MOST_SHOWN: Final = 256  # characters of a parameter are said back

S = TypeVar("S", bound=Structure)


class MalformedQueryError(KeysteadError):
    """A form that is not well formed, or has a parameter twice."""

    kind, code = Kind.INVALID, "MalformedQuery"


def split(form: bytes) -> dict[str, str]:
    """The parameters of a form by name."""
    if len(form) > MAX_BYTES:
        raise TooLarge(f"The request has more than {MAX_BYTES:,} bytes.")
    try:
        pairs = parse_qsl(
            form.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError:
        raise MalformedQueryError(
            "The query string contains a syntax error, or too many parameters."
        ) from None
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise MalformedQueryError("The query string has a parameter twice.")
    return parameters


def read(structure: type[S], parameters: dict[str, str]) -> S:
    """The structure that these parameters stand for; all of them are taken."""
    left = dict(parameters)
    found = _read(structure, left, "")
    if left:
        raise InvalidRequest(f"Unknown parameter: '{min(left)[:_MOST_SHOWN]}'")
    return found


def _read(structure: type[S], left: dict[str, str], path: str) -> S:
    members = {
        field.name: _value(get_args(field.type)[0], left, path + field.name)
        for field in msgspec.structs.fields(structure)
    }
    return structure(**members)


def _value(kind: Any, left: dict[str, str], path: str) -> Any:  # noqa: ANN401 - a type of the model, and a value of it
    """What stands at a place, taken from the parameters; None for nothing."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if kind is str:
        return left.pop(path, None)
    if kind is int:
        return _integer(left.pop(path, None), path)
    if get_origin(kind) is list:
        return _list(get_args(kind)[0], left, path)
    before = len(left)
    found = _read(kind, left, f"{path}.")
    return None if len(left) == before else found


def _list(kind: Any, left: dict[str, str], path: str) -> list[Any] | None:  # noqa: ANN401 - a type of the model
    if left.get(path) == "":  # how an empty list is written
        del left[path]
        return []
    found: list[Any] = []
    while (item := _value(kind, left, f"{path}.member.{len(found) + 1}")) is not None:
        found.append(item)
    return found or None


_is_integer: Final = re.compile(r"-?[0-9]{1,9}", re.ASCII).fullmatch


def _integer(text: str | None, path: str) -> int | None:
    if text is None:
        return None
    if _is_integer(text) is None:
        raise InvalidRequest(f"Value '{text[:_MOST_SHOWN]}' at '{path}' must be a whole number.")
    return int(text)
