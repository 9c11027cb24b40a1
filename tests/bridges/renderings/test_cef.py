"""Entries as CEF lines, read back by a reader that was written from the format's description."""

import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bridges.renderings.samples import (
    ALICE,
    DENIED,
    EVENT,
    KEY,
    SESSION,
    STOPPED,
    UNPROVEN,
    USED,
    every_entry,
)
from keystead.bridges.renderings import cef
from keystead.service.entry import Entry, encode, event_id

changed = msgspec.structs.replace

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
NASTY = st.lists(
    st.sampled_from(["\\", "|", "=", "\n", "\r", "\\n", " src=", "\x00", "\u2028", "é", "a"])
).map("".join)
UNREADABLE = re.compile("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")
HEAD = ["CEF:0", "Keystead", "Keystead"]


def parse(line: str) -> tuple[list[str], dict[str, str]]:
    """The head and the members of the extension."""
    parts = re.split(r"(?<!\\)((?:\\\\)*)\|", line, maxsplit=7)
    head = [
        re.sub(r"\\([\\|])", r"\1", text + slashes)
        for text, slashes in zip(parts[:-1:2], parts[1::2], strict=True)
    ]
    extension = parts[-1]
    starts = [*re.finditer(r"(?:^| )([A-Za-z0-9]+)(?<!\\)=", extension)]
    ends = [*(each.start() for each in starts[1:]), len(extension)]
    members = {}
    for each, end in zip(starts, ends, strict=True):
        raw = extension[each.end() : end]
        members[each[1]] = re.sub(r"\\(.)", lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), raw)
    return head, members


def read(entry: Entry) -> tuple[list[str], dict[str, str]]:
    """What a reader finds in an entry's line."""
    line = cef.render(encode(entry), EVENT).decode()
    assert len(line.splitlines()) == 1
    return parse(line)


def test_a_use_of_a_key() -> None:
    """Head and members, custom ones with their labels."""
    head, members = read(USED)
    assert head[:3] == HEAD
    assert head[4:] == ["kms:Decrypt", "Decrypt", "1"]
    assert members["rt"] == "1764000000123"
    assert (members["suid"], members["suser"], members["src"]) == (ALICE, "alice", "192.0.2.7")
    assert (members["act"], members["outcome"], members["cat"]) == ("Decrypt", "success", "kms.amazonaws.com")
    assert (members["cs1Label"], members["cs1"]) == ("keyArn", KEY)
    assert (members["cn1Label"], members["cn1"]) == ("keyVersion", "3")
    assert (members["cn2Label"], members["cn2"]) == ("index", "567")
    assert (members["externalId"], members["deviceExternalId"]) == (event_id(EVENT), EVENT.rpartition("/")[0])
    assert "reason" not in members


def test_a_denial_says_why() -> None:
    """Code, decision and what was missing; it weighs more."""
    head, members = read(DENIED)
    assert head[6] == "6"
    assert (members["outcome"], members["reason"], members["cs3"]) == ("denied", "AccessDenied", "Deny none")
    assert members["flexString1"] == DENIED.missing


def test_an_address_is_where_its_kind_belongs() -> None:
    """IPv4, IPv6, or a name."""
    assert "src" not in read(UNPROVEN)[1]
    assert read(UNPROVEN)[1]["c6a2"] == "2001:db8::7"
    assert read(changed(USED, source="unix"))[1]["shost"] == "unix"
    assert read(changed(USED, principal=SESSION))[1]["suser"] == "deploy/ci-7"


def test_the_logs_own_entries() -> None:
    """They have few members, and index 0 is one."""
    head, members = parse(cef.render(encode(STOPPED), "keystead-1/w0/0").decode())
    assert head[4:] == ["keystead:AuditStopped", "AuditStopped", "9"]
    assert members["cn2"] == "0"
    assert "cs1" not in members
    assert read(Entry(v=1))[0][4:6] == ["Unknown", "Unknown"]


def test_every_entry_can_be_read_back() -> None:
    """Of every action, by everybody, however it ended."""
    for entry in every_entry():
        head, members = read(entry)
        assert head[4] == entry.action
        assert members["externalId"] == event_id(EVENT)


@given(NASTY | TEXTS, NASTY | TEXTS)
def test_no_text_escapes_its_member(subject: str, action: str) -> None:
    """Whatever a caller names: it comes back as it was, but for characters that CEF cannot write."""
    head, members = read(changed(USED, subject=subject, action=action, source="192.0.2.7"))
    kept = UNREADABLE.sub("\ufffd", subject)
    assert members.get("cs5", "").rstrip(" ") == kept.rstrip(" ")
    assert members["src"] == "192.0.2.7"
    assert head[4] == re.sub("[\r\n]", " ", UNREADABLE.sub("\ufffd", action or "Unknown"))


def test_long_texts_are_cut() -> None:
    """At what CEF allows for a custom string."""
    assert len(read(changed(USED, subject="x" * 5000))[1]["cs5"]) == 4000
