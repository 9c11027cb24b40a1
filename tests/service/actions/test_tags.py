"""Tags: set, overwritten, removed, listed, and refused in AWS's words."""

import pytest

from keystead.service.commands import kms as c
from keystead.service.quotas import Quotas
from keystead.testing.service import ServiceBench, key_arn


@pytest.fixture
def bench() -> ServiceBench:
    """An installation."""
    return ServiceBench()


def test_tags_are_set_overwritten_and_removed(bench: ServiceBench) -> None:
    """They come in the order of their names; removing what is not there is no error."""
    key = bench.key()
    bench.do(c.TagResource(key, (("b", "1"), ("a", "2"))))
    bench.do(c.TagResource(key, (("b", ""), ("c", "ü"))))
    assert bench.do(c.ListResourceTags(key)).tags == [("a", "2"), ("b", ""), ("c", "ü")]
    assert bench.records[-2].key == key_arn(key)

    bench.do(c.UntagResource(key, ("a", "never", "c")))
    assert bench.do(c.ListResourceTags(key)).tags == [("b", "")]


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ((("aws:x", ""),), "InvalidTag: Tags beginning with aws: are reserved"),
        ((("AwS:x", ""),), "InvalidTag: Tags beginning with aws: are reserved"),
        ((("a", "1"), ("b", ""), ("a", "2")), "InvalidTag: Duplicate tag keys"),
        (tuple((f"t{i}", "") for i in range(51)), "InvalidTag: Too many tags"),
    ],
)
def test_tags_that_are_not_allowed(bench: ServiceBench, tags: tuple[tuple[str, str], ...], told: str) -> None:
    """None of the request is kept."""
    key = bench.key()
    assert bench.refusal(c.TagResource(key, tags)) == told
    assert bench.do(c.ListResourceTags(key)).tags == []


def test_reserved_tags_are_not_removed(bench: ServiceBench) -> None:
    """Whoever names one with others removes none."""
    key = bench.key()
    bench.do(c.TagResource(key, (("a", ""),)))
    told = "InvalidTag: Tags beginning with aws: are reserved"
    assert bench.refusal(c.UntagResource(key, ("a", "AWS:x"))) == told
    assert bench.do(c.ListResourceTags(key)).tags == [("a", "")]


def test_a_key_has_room_for_so_many_tags(bench: ServiceBench) -> None:
    """What is there counts; overwriting needs no room."""
    tight = ServiceBench(bench.house, "w1", quotas=Quotas(tags_per_key=3))
    key = tight.key()
    tight.do(c.TagResource(key, (("a", ""), ("b", ""))))
    assert tight.refusal(c.TagResource(key, (("c", ""), ("d", "")))) == "InvalidTag: Too many tags"
    tight.do(c.TagResource(key, (("b", "new"), ("c", ""))))
    tight.do(c.TagResource(key, (("a", "new"),)))
    assert tight.refusal(c.TagResource(key, (("d", ""),))) == "InvalidTag: Too many tags"


def test_tags_are_paged(bench: ServiceBench) -> None:
    """The marker goes on with the next name, in the same key's list only."""
    key, other = bench.key(), bench.key()
    bench.do(c.TagResource(key, tuple((name, "") for name in "dcba")))
    first = bench.do(c.ListResourceTags(key, 3))
    assert [name for name, _ in first.tags] == ["a", "b", "c"]
    last = bench.do(c.ListResourceTags(key, 3, first.marker))
    assert ([name for name, _ in last.tags], last.marker) == (["d"], "")
    assert bench.refusal(c.ListResourceTags(other, 3, first.marker)).startswith("InvalidMarker")
