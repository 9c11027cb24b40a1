"""What is said of key templates, of keys with all that can be declared of them, and of revisions."""

import msgspec

from keystead.core.declaration import Declaration
from keystead.core.key import Alias, Key
from keystead.service.results import Result


class TemplateDescription(Result):
    """One key template."""

    template: Declaration


class TemplatePage(Result):
    """Some key templates."""

    templates: list[Declaration]
    marker: str


class Ensured(Result):
    """The key that a template and a name stand for, and what had to be done."""

    key: Key
    alias: str
    created: bool
    changed: tuple[str, ...]  # what was corrected, in words of the template


class KeyState(Result):
    """A key with all that can be declared of it; ``template`` is the one that it was made from, if any."""

    key: Key
    tags: list[tuple[str, str]]
    aliases: list[Alias]
    template: str


class KeyStatePage(Result):
    """Some keys of one account and region; ``left_out`` says how many the caller may not see."""

    account: str
    region: str
    keys: list[KeyState]
    left_out: int
    marker: str


class Revision(msgspec.Struct, kw_only=True):
    """What is kept of a revision beside its state. Times are Unix seconds, 0 for never."""

    number: int
    by: str  # the ARN of who applied it
    comment: str
    created: float
    closed: float = 0.0
    finished: bool = False  # the account was made what it says
    keys: dict[str, str] = msgspec.field(default_factory=dict)  # the ids of the declared keys by their names


class RevisionDescription(Result):
    """One revision with its state, which is JSON. There is none yet when its number is 0."""

    account: str
    revision: Revision
    state: str


class RevisionPage(Result):
    """Some revisions, the oldest first."""

    revisions: list[Revision]
    marker: str
