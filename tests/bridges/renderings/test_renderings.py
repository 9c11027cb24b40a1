"""The forms by name, each known to the byte once, and nothing lost or leaked on the way."""

import json
from pathlib import Path

import pytest

from bridges.renderings.samples import EVENT, USED, Log, every_entry
from keystead import __version__
from keystead.bridges.renderings import RENDERINGS
from keystead.bridges.renderings.facts import read
from keystead.bridges.renderings.syslog import structured_data
from keystead.cli.export import FORMATS
from keystead.service.entry import encode

GOLDEN = Path(__file__).parent / "golden"


def test_the_command_line_knows_every_form() -> None:
    """Its list is written out there, so that its help needs none of them."""
    assert sorted(FORMATS) == sorted(RENDERINGS)


def test_every_form_is_documented(checkout: Path) -> None:
    """A section of the page on events is about it."""
    page = (checkout / "docs" / "reference" / "siem-events.md").read_text()
    for name in RENDERINGS:
        assert f"`{name}`" in page


@pytest.mark.parametrize("form", sorted(RENDERINGS))
def test_a_form_is_known_to_the_byte(form: str) -> None:
    """Who has built on it finds it as it was; the version of this software is not part of that."""
    data = encode(USED)
    rendered = RENDERINGS[form](data, EVENT).decode().replace(__version__, "VERSION")
    if rendered.startswith("{"):
        rendered = json.dumps(json.loads(rendered), indent=2)
    golden = GOLDEN / (f"{form}.txt" if form == "cef" else f"{form}.json")
    assert rendered + "\n" == golden.read_text()


def test_structured_data_is_known_to_the_byte() -> None:
    """The same for what syslog puts in front."""
    assert structured_data(read(encode(USED), EVENT)).decode() + "\n" == (GOLDEN / "syslog.txt").read_text()


@pytest.mark.parametrize("form", sorted(RENDERINGS))
def test_an_event_is_one_line_and_the_same_each_time(form: str) -> None:
    """So lines can carry it, and whoever gets it twice can tell."""
    for entry in every_entry():
        data = encode(entry)
        rendered = RENDERINGS[form](data, EVENT)
        assert b"\n" not in rendered
        assert rendered == RENDERINGS[form](data, EVENT)


@pytest.mark.parametrize("form", sorted(RENDERINGS))
def test_who_when_what_and_where_are_in_every_form(form: str, day: Log) -> None:
    """An event of a real log can be traced back: id, log, principal and request are there."""
    for name, data in day.events:
        event, rendered = read(data, name), RENDERINGS[form](data, name).decode().replace("\\=", "=")
        for part in (event.id, event.origin, event.entry.principal, event.entry.request):
            assert part in rendered
