"""Key templates, revisions of what an account was declared to be, and what is needed to compare it with what is."""

from typing_extensions import override

from keystead.service.commands import Command

Pairs = tuple[tuple[str, str], ...]


class PutTemplate(Command, frozen=True, gc=False):
    """Store a key template, or its new form; ``text`` is JSON (`keystead.core.template`)."""

    name: str
    text: str


class DeleteTemplate(Command, frozen=True, gc=False):
    """Remove a key template; the keys that were made from it stay."""

    name: str


class DescribeTemplate(Command, frozen=True, gc=False):
    """Look at a key template."""

    name: str


class ListTemplates(Command, frozen=True, gc=False):
    """The account's key templates."""

    limit: int = 100
    marker: str = ""


class EnsureKey(Command, frozen=True, gc=False):
    """See to it that there is a key as a template has it: make it, correct it, or leave it as it is."""

    template: str
    name: str
    parameters: Pairs = ()

    @property
    @override
    def about(self) -> str:
        """The template and the key's name."""
        return f"{self.template} {self.name}"


class ListKeyStates(Command, frozen=True, gc=False):
    """The account's keys in the caller's region, each with all that can be declared of it."""

    limit: int = 100
    marker: str = ""


class PutRevision(Command, frozen=True, gc=False):
    """Begin the revision after number ``expected``: what the account is about to be made.

    ``state`` is JSON. ``take_over`` ends a revision before it that somebody has begun and not closed.
    """

    expected: int
    state: str
    comment: str = ""
    take_over: bool = False


class CloseRevision(Command, frozen=True, gc=False):
    """Close the newest revision: the account is what it says, or the attempt has stopped.

    ``keys`` are the ids of the declared keys by their names.
    """

    number: int
    finished: bool
    keys: Pairs = ()


class DescribeRevision(Command, frozen=True, gc=False):
    """Look at a revision and its state; number 0 stands for the newest."""

    number: int = 0


class ListRevisions(Command, frozen=True, gc=False):
    """The account's revisions, without their states."""

    limit: int = 100
    marker: str = ""
