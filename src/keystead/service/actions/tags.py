"""Tags: names and values that people and policies attach to keys."""

from collections.abc import Sequence

from keystead.core.errors import InvalidTag
from keystead.core.key import Event
from keystead.service.commands import kms as c
from keystead.service.desk import Desk
from keystead.service.results import Done
from keystead.service.results.kms import TagPage


def tag_resource(command: c.TagResource, desk: Desk) -> Done:
    """Set tags; a tag that is there already gets the new value."""
    key = desk.key(command.key, Event.CONFIGURE, "kms:TagResource")
    quota = desk.quotas.tags_per_key
    check_tags(command.tags, quota)
    present = {name for name, _ in desk.tx.tags(key.region, key.id, "", quota)}
    if len(present | {name for name, _ in command.tags}) > quota:
        raise InvalidTag("Too many tags")
    for name, value in command.tags:
        desk.tx.put_tag(key.region, key.id, name, value)
    return Done()


def untag_resource(command: c.UntagResource, desk: Desk) -> Done:
    """Remove tags; one that is not there is no error."""
    key = desk.key(command.key, Event.CONFIGURE, "kms:UntagResource")
    for name in command.names:
        if name.lower().startswith("aws:"):
            raise InvalidTag("Tags beginning with aws: are reserved")
        desk.tx.delete_tag(key.region, key.id, name)
    return Done()


def list_resource_tags(command: c.ListResourceTags, desk: Desk) -> TagPage:
    """A key's tags in the order of their names."""
    key = desk.key(command.key, Event.READ, "kms:ListResourceTags")
    tags, marker = desk.page(
        f"tags {key.ref}",
        command.marker,
        command.limit,
        lambda after, count: desk.tx.tags(key.region, key.id, after, count),
        lambda tag: tag[0],
    )
    return TagPage(tags, marker)


def check_tags(tags: Sequence[tuple[str, str]], quota: int) -> None:
    """Refuse reserved, repeated and too many tags, in AWS's words."""
    names = [name for name, _ in tags]
    if any(name.lower().startswith("aws:") for name in names):
        raise InvalidTag("Tags beginning with aws: are reserved")
    if len(set(names)) != len(names):
        raise InvalidTag("Duplicate tag keys")
    if len(names) > quota:
        raise InvalidTag("Too many tags")
