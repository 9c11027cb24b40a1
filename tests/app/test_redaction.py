"""Redacting on real files: once a value is redacted, no byte of it is in the data directory, and all proofs hold."""

import tempfile
from contextlib import closing
from pathlib import Path

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from keystead import store
from keystead.app.installation import CONTROL, Installation, Post, found, local_secrets, system_random
from keystead.app.offline import read_audit, verify_audit
from keystead.config import Config
from keystead.core.errors import AccessDenied
from keystead.core.principal import Session, user_arn
from keystead.core.subject import MEMBERS, SOURCE, commitment
from keystead.service.caller import Caller
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.commands.ledger import RedactSubject
from keystead.service.entry import Entry, decode
from keystead.service.identities import identify
from keystead.service.subjects import disclose
from keystead.service.workingset import NotLoaded
from keystead.testing.audit import TurnedClock

SECRETS = local_secrets({})
# All of one length, so that none is a part of another, and none like what stands in every file.
ADDRESSES = st.lists(st.integers(0x1000, 0xFFFF), min_size=6, max_size=6).map(
    lambda groups: "2001:db8:" + ":".join(f"{group:x}" for group in groups)
) | st.integers(100, 255).map(lambda number: f"198.51.100.{number}")
NAMES = st.text("abcdefghijklmnop0123456789.-", min_size=16, max_size=16).map(lambda name: f"{name}@example")
HOW = st.sampled_from(["hot", "read", "write", "refused"])


class House:
    """An installation on a disk, with two processes that write commitments."""

    def __init__(self, place: Path) -> None:
        self.clock = TurnedClock()
        self.clock.time = 1_700_000_000.0
        self.config = Config(data=place / "data", workers=1, redactable=frozenset(MEMBERS))
        founded = found(self.config, "file", SECRETS, self.clock, system_random, path=str(place / "root.key"))
        self.vkey = founded.vkey
        installation = Installation.open(self.config, SECRETS, self.clock, system_random)
        self.account = installation.account
        self.posts: list[Post] = [installation.post("w0"), installation.post(CONTROL)]

    def caller(self, source: str = "", who: str = "") -> Caller:
        """The admin, from somewhere, in a session that somebody began."""
        with closing(store.connect(self.config.store)) as opened, opened.view() as view:
            principal = view.principal(user_arn(self.account, "admin"))
            assert principal is not None
            session = Session(
                access_key="ASIA",
                arn=principal.arn,
                principal=principal.arn,
                user_id="u",
                issued=0.0,
                expires=self.clock.now() + 3600,
                source_identity=who,
            )
            identity = identify(view, principal, session)
        return Caller(
            identity, request=system_random(8).hex(), region="eu-central-1", auth="internal", source=source
        )

    def ask(self, post: Post, how: str, source: str, who: str) -> None:
        """One request of a kind."""
        gate = post.gate
        caller = self.caller(source, who)
        if how == "read":
            gate.ask(caller, c.ListKeys()).outcome()
        elif how == "write":
            gate.ask(caller, c.CreateKey()).outcome()
        else:
            entry = Entry(source=source)
            for _ in range(3):
                try:
                    if how == "hot":
                        gate.handle(caller, c.GenerateRandom(8))
                    else:
                        gate.refuse(entry, AccessDenied("no"), patient=True)
                    break
                except NotLoaded as missing:
                    gate.working.admit(gate.working.load(missing.wanted))
            gate.settle(())

    def do(self, command: Command) -> None:
        """Something that the admin asks the control process."""
        self.posts[1].gate.ask(self.caller(), command).outcome()

    def close(self) -> None:
        """Sign last checkpoints."""
        for post in self.posts:
            post.close()

    def files(self) -> bytes:
        """All bytes in the data directory, and all names of files."""
        found_ones = [path for path in self.config.data.rglob("*") if path.is_file()]
        return b"\n".join([str(path).encode() + path.read_bytes() for path in found_ones])


@settings(max_examples=12, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(st.tuples(ADDRESSES, NAMES, HOW, st.booleans()), min_size=1, max_size=8), st.data())
def test_of_what_was_redacted_no_byte_is_left(
    requests: list[tuple[str, str, str, bool]], data: st.DataObject
) -> None:
    """Whoever asked what, of which process: before, each value can be told and checked; after, it is nowhere."""
    with tempfile.TemporaryDirectory() as directory:
        house = House(Path(directory))
        for source, who, how, control in requests:
            house.ask(house.posts[control], how, source, who)
        written = {
            member: {
                value
                for request in requests
                if (value := request[place]) and (not place or request[2] != "refused")
            }
            for place, member in enumerate(MEMBERS)
        }
        entries = [decode(each) for each in read_audit(house.config.audit, None)]
        commitments = {each for entry in entries for each in (entry.source, entry.source_identity) if each}
        with house.posts[0].store.view() as view:
            disclosed = disclose(view, commitments)
        assert {(each.member, each.value) for each in disclosed.values()} == {
            (member, value) for member in MEMBERS for value in written[member]
        }
        assert disclosed.keys() == commitments
        for name, each in disclosed.items():
            assert commitment(bytes.fromhex(each.salt), each.member, each.value) == name

        gone = data.draw(st.sets(st.sampled_from(sorted(disclosed)), min_size=1))
        for name in gone:
            house.do(RedactSubject(disclosed[name].member, disclosed[name].value, "a request"))
        with house.posts[0].store.view() as view:
            assert disclose(view, commitments).keys() == commitments - gone
        house.close()

        held = house.files()
        for name in gone:
            assert disclosed[name].value.encode() not in held
            assert disclosed[name].salt.encode() not in held
            assert name.encode() in held
        for name in commitments - gone:
            assert disclosed[name].value.encode() in held
        verify_audit(house.config.audit, house.vkey, lambda *_: None)


def test_checkpoints_from_before_hold(tmp_path: Path) -> None:
    """The log goes on from what was signed before the redaction."""
    house = House(tmp_path)
    house.ask(house.posts[0], "hot", "192.0.2.7", "")
    house.clock.time += 5
    house.posts[0].gate.tend()
    checkpoint = (house.config.audit / "w0" / "checkpoint").read_text()
    house.do(RedactSubject(SOURCE, "192.0.2.7", "a request"))
    house.ask(house.posts[0], "hot", "192.0.2.7", "")
    house.close()
    report = verify_audit(house.config.audit, house.vkey, lambda *_: None, since=[checkpoint])
    assert sum(log.size for log in report.logs) >= 4
