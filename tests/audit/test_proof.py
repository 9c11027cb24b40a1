"""Proofs of inclusion and consistency: what is true is proven, and nothing else."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from keystead.audit import cosigned
from keystead.audit.checkpoint import Checkpoint
from keystead.audit.damage import Damaged
from keystead.audit.logkeys import FILE, introduce
from keystead.audit.logkeys import encode as encode_keys
from keystead.audit.proof import (
    Inclusion,
    NoSuchEvent,
    NotCovered,
    check,
    checkpoints_of,
    decode,
    encode,
    prove,
    prove_consistency,
)
from keystead.crypto.merkle import InvalidProof
from keystead.crypto.note import CosignatureSigner, InvalidNote, NoteSigner
from keystead.testing.audit import AuditBench

SIZES = (1, 2, 255, 256, 257, 600)
WITNESS = CosignatureSigner("witness.example/w1", Ed25519PrivateKey.from_private_bytes(bytes(31) + b"w"))
NEW = NoteSigner("keystead-test", Ed25519PrivateKey.from_private_bytes(bytes(31) + b"n"))


def entry(index: int) -> bytes:
    """A record of its own."""
    return b'{"record":%d}' % index


class Grown(AuditBench):
    """A log that was signed at each of `SIZES`, with three records beyond."""

    def __init__(self) -> None:
        super().__init__(segment_bytes=1 << 17)
        self.notes: dict[int, bytes] = {}
        self.log = self.open()
        for size in SIZES:
            while self.log.size < size:
                self.log.append(entry(self.log.size))
                self.log.commit()
            self.later()
            self.log.tend()
            self.notes[size] = self.disk.read(self.directory / "checkpoint")
        for index in range(SIZES[-1], SIZES[-1] + 3):
            self.log.append(entry(index))
        self.log.commit()

    def cosign(self, size: int, time: int = 1000) -> None:
        """Keep the checkpoint of that size with a cosignature."""
        text = self.notes[size].partition(b"\n\n")[0].decode() + "\n"
        cosigned.keep(self.disk, self.directory, "w1", self.notes[size] + WITNESS.line(text, time))


@pytest.fixture(scope="module")
def grown() -> Grown:
    """Such a log, which nobody changes."""
    return Grown()


@pytest.mark.parametrize("index", [0, 1, 254, 255, 256, 511, 512, 599])
@pytest.mark.parametrize("key", ["instance", "log"])
def test_an_entry_under_the_checkpoint_is_proven(grown: Grown, index: int, key: str) -> None:
    """A proof holds the entry as it was written, and checks out with the key under either name."""
    proof = prove(grown.disk, grown.root, f"keystead-test/w0/{index}")
    signer = grown.signer if key == "instance" else grown.signer.named("keystead-test/w0")

    proven = check(encode(proof), signer.vkey)

    assert proven == ("keystead-test/w0", 600, entry(index), index, 0, {})


def test_an_entry_beyond_the_checkpoint_is_not_proven_yet(grown: Grown) -> None:
    """Until the next checkpoint nothing signed covers it."""
    with pytest.raises(
        NotCovered, match=r"covers 600 records of keystead-test/w0, not yet keystead-test/w0/600"
    ):
        prove(grown.disk, grown.root, "keystead-test/w0/600")


@pytest.mark.parametrize(
    "event",
    [
        "",
        "567",
        "keystead-test/w0/",
        "keystead-test/w0/x",
        "keystead-test/w0/-1",
        "keystead-test/w0/" + "9" * 30,
        "keystead-test/w1/0",
        "keystead-other/w0/0",
        "keystead-test/../0",
        "/w0/0/../../x/0",
    ],
)
def test_what_names_no_event_is_said_to(grown: Grown, event: str) -> None:
    """Another instance, another log, no number, or a way out of the directory."""
    with pytest.raises(NoSuchEvent):
        prove(grown.disk, grown.root, event)


@pytest.mark.parametrize("old", SIZES)
def test_a_log_is_proven_to_begin_as_it_was(grown: Grown, old: int) -> None:
    """From each older checkpoint to the newest."""
    proof = prove_consistency(grown.disk, grown.root, grown.notes[old])

    assert check(encode(proof), grown.signer.vkey) == ("keystead-test/w0", 600, None, 0, old, {})


def test_a_log_that_was_rolled_back_proves_nothing(grown: Grown) -> None:
    """A checkpoint of more records than there are now, and what is no checkpoint."""
    longer = grown.signer.named("keystead-test/w0").sign(
        Checkpoint("keystead-test/w0", 601, bytes(32)).text()
    )
    with pytest.raises(InvalidProof, match=r"covers 600 records .* 601: the log was rolled back"):
        prove_consistency(grown.disk, grown.root, longer)
    with pytest.raises(InvalidNote, match="three lines"):
        prove_consistency(grown.disk, grown.root, grown.signer.sign("text\n"))


def test_a_log_that_was_forked_is_found_out_by_who_checks(grown: Grown) -> None:
    """The proof of a log that never was what the kept checkpoint says does not check out."""
    other = grown.signer.named("keystead-test/w0").sign(Checkpoint("keystead-test/w0", 256, bytes(32)).text())
    proof = encode(prove_consistency(grown.disk, grown.root, other))
    with pytest.raises(InvalidProof, match="does not begin with the log of 256"):
        check(proof, grown.signer.vkey)

    stranger = NEW.named("keystead-test/w0").sign(Checkpoint("keystead-test/w0", 256, bytes(32)).text())
    with pytest.raises(InvalidProof, match="not signed by"):
        check(encode(prove_consistency(grown.disk, grown.root, stranger)), grown.signer.vkey)


def test_two_checkpoints_of_different_logs_prove_nothing(grown: Grown) -> None:
    """Consistency is between two states of one log."""
    proof = json.loads(encode(prove_consistency(grown.disk, grown.root, grown.notes[256])))
    other = grown.signer.named("keystead-test/w1").sign(Checkpoint("keystead-test/w1", 256, bytes(32)).text())
    with pytest.raises(InvalidProof, match="another log, keystead-test/w1"):
        check(json.dumps({**proof, "old": other.decode()}).encode(), grown.signer.vkey)


def test_a_witness_that_is_asked_for_must_have_cosigned() -> None:
    """Of checkpoints that cover the event the cosigned one is taken; the time of the cosignature is told."""
    grown = Grown()
    event = "keystead-test/w0/100"
    plain = encode(prove(grown.disk, grown.root, event))
    with pytest.raises(InvalidProof, match=r"not cosigned by witness.example/w1"):
        check(plain, grown.signer.vkey, [WITNESS.verifier.vkey])

    grown.cosign(257)

    proven = check(encode(prove(grown.disk, grown.root, event)), grown.signer.vkey, [WITNESS.verifier.vkey])
    assert (proven.size, proven.cosigned) == (257, {"witness.example/w1": 1000})
    later = check(encode(prove(grown.disk, grown.root, "keystead-test/w0/300")), grown.signer.vkey)
    assert later.size == 600
    assert len(checkpoints_of(grown.disk, grown.directory)) == 2
    grown.cosign(600)
    assert len(checkpoints_of(grown.disk, grown.directory)) == 1


def test_a_proof_leads_from_a_first_key_to_its_successor() -> None:
    """Who knows the first key checks what the second has signed, by the statement in the proof."""
    grown = Grown()
    statement = introduce(grown.signer, NEW, 2, 1000)
    cosigned.put(grown.disk, grown.root / FILE, encode_keys([statement]))
    text = grown.notes[600].partition(b"\n\n")[0].decode() + "\n"
    grown.disk.damage(grown.directory / "checkpoint", NEW.named("keystead-test/w0").sign(text))
    event = "keystead-test/w0/7"

    data = encode(prove(grown.disk, grown.root, event))

    for signer in (grown.signer, NEW):
        assert check(data, signer.vkey).entry == entry(7)
        older = encode(prove_consistency(grown.disk, grown.root, grown.notes[256]))
        assert check(older, signer.vkey).since == 256
    without = {**json.loads(data), "keys": []}
    with pytest.raises(InvalidProof, match="not signed by"):
        check(json.dumps(without).encode(), grown.signer.vkey)


@given(st.data())
def test_no_part_of_a_proof_can_be_changed(grown: Grown, data: st.DataObject) -> None:
    """Whatever member is replaced by something else of its type, the proof proves nothing, or the same."""
    whole = encode(prove(grown.disk, grown.root, "keystead-test/w0/300"))
    proof: dict[str, Any] = json.loads(whole)
    member = data.draw(st.sampled_from(sorted(proof)))
    if isinstance(proof[member], list):
        value = data.draw(
            st.permutations(proof[member]) | st.just(proof[member][1:]) | st.just([*proof[member], "A"])
        )
    elif isinstance(proof[member], int):
        value = data.draw(st.integers(0, 700))
    else:
        place = data.draw(st.integers(0, len(proof[member]) - 1))
        value = (
            proof[member][:place]
            + data.draw(st.characters(min_codepoint=32, max_codepoint=126))
            + proof[member][place + 1 :]
        )
    changed = {**proof, member: value}
    if changed == proof:
        return
    with pytest.raises(InvalidProof):
        check(json.dumps(changed).encode(), grown.signer.vkey)


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"{}", b'{"format":"other"}', b"[" * 100_000])
def test_what_is_no_proof_is_said_to_be_none(data: bytes) -> None:
    """Rubbish and unknown formats are refused in words."""
    with pytest.raises(InvalidProof, match=r"not a proof|unknown here"):
        decode(data)


def test_a_proof_needs_a_verifier_key(grown: Grown) -> None:
    """A key with a slip in it proves nothing."""
    data = encode(prove(grown.disk, grown.root, "keystead-test/w0/300"))
    with pytest.raises(InvalidProof, match="not a verifier key"):
        check(data, "rubbish")


def test_damage_is_said_where_a_proof_is_wanted() -> None:
    """A checkpoint that is none, a bundle that is missing, and an entry that is no text."""
    grown = Grown()
    proof = prove(grown.disk, grown.root, "keystead-test/w0/0")
    assert isinstance(decode(encode(proof)), Inclusion)
    bundle = grown.directory / "tile/entries/000"
    data = grown.disk.read(bundle)
    grown.disk.damage(bundle, data.replace(b'{"record":0}', b'{"record":\xff}'))
    with pytest.raises(Damaged, match="not UTF-8"):
        prove(grown.disk, grown.root, "keystead-test/w0/0")
    grown.disk.remove(bundle)
    with pytest.raises(Damaged, match="it is missing"):
        prove(grown.disk, grown.root, "keystead-test/w0/0")
    grown.disk.damage(grown.directory / "checkpoint", b"rubbish")
    with pytest.raises(Damaged, match="no signatures"):
        prove(grown.disk, grown.root, "keystead-test/w0/0")


def test_what_lies_among_cosigned_checkpoints_and_is_none_is_passed_over() -> None:
    """A file that is no note, and another log's: the proof rests on the log's own."""
    grown = Grown()
    other = grown.signer.named("keystead-test/w1").sign(Checkpoint("keystead-test/w1", 999, bytes(32)).text())
    for name, note in (("rubbish", b"rubbish\n\n"), ("other", other + other.partition(b"\n\n")[2])):
        cosigned.keep(grown.disk, grown.directory, name, note)
    proof = encode(prove(grown.disk, grown.root, "keystead-test/w0/7"))
    assert check(proof, grown.signer.vkey).size == 600


def test_a_checkpoint_of_another_log_is_not_this_one_s(grown: Grown) -> None:
    """A note whose key and origin belong to different logs does not check out."""
    proof = json.loads(encode(prove(grown.disk, grown.root, "keystead-test/w0/300")))
    signer = grown.signer.named("keystead-test/w0")
    note = signer.sign(Checkpoint("keystead-other/w0", 600, bytes(32)).text()).decode()
    with pytest.raises(InvalidProof, match="of the log 'keystead-other/w0', not of 'keystead-test/w0'"):
        check(json.dumps({**proof, "checkpoint": note}).encode(), signer.vkey)
