"""What documents declare, and everything that may be wrong with them."""

import pathlib
import re
from typing import Any

import pytest

from keystead.plan import reading
from keystead.plan.documents import Directory, Document, Path, Undeclarable
from keystead.plan.reading import MOST_DOCUMENTS, read

ALLOW = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["kms:Encrypt"], "Resource": "*"}],
}
DENY = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "kms:*", "Resource": "*"}]}
KEY_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ],
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
            "Action": "sts:AssumeRole",
        }
    ],
}
TEMPLATE = {"kind": "template", "name": "web", "alias": "app/<<name>>", "parameters": {"team": ["a", "b"]}}


def directory(*values: Any, **files: Any) -> Directory:
    """Documents of a file each, ``0.yaml`` and so on, with a line for each member; and files by name."""
    documents = {}
    for number, value in enumerate(values):
        name = f"{number}.yaml"
        lines: dict[Path, int] = {(): 1}
        lines |= {(member,): line for line, member in enumerate(value if isinstance(value, dict) else {}, 2)}
        documents[name] = [Document(file=name, value=value, lines=lines)]
    for name, value in files.items():
        file = name.replace("_", ".")
        documents[file] = [Document(file=file, value=value, lines={(): 1})]
    return Directory(documents=documents, texts={"ca.pem": "-----BEGIN CERTIFICATE-----"})


def state(*values: Any, **files: Any) -> Any:
    """What they declare."""
    return read(directory(*values, **files), "eu-central-1").state


def problems(*values: Any, **files: Any) -> list[str]:
    """What is wrong with them."""
    with pytest.raises(Undeclarable) as caught:
        state(*values, **files)
    return list(caught.value.problems)


def test_principals_have_all_their_parts() -> None:
    """What is left open is filled in, names stand once and in order, and built-in policies have their ARNs."""
    found = state(
        {"kind": "policy", "name": "p", "policy": ALLOW},
        {"kind": "group", "name": "g", "attached": ["p"]},
        {
            "kind": "user",
            "name": "u",
            "attached": ["p", "KeysteadAuditor"],
            "groups": ["g", "g"],
            "boundary": "p",
            "tags": {"b": "2", "a": "1"},
            "enabled": False,
        },
        {
            "kind": "service-account",
            "name": "s",
            "policy": ALLOW,
            "attached": ["arn:aws:iam::aws:policy/KeysteadKeyUser"],
        },
        {"kind": "role", "name": "r", "trust": TRUST, "session_seconds": 7200},
    )
    assert found["policy/p"] == {"policy": ALLOW}
    assert found["group/g"] == {"attached": ["p"], "enabled": True, "policy": None, "tags": {}}
    assert found["user/u"] == {
        "attached": ["arn:aws:iam::aws:policy/KeysteadAuditor", "p"],
        "boundary": "p",
        "enabled": False,
        "groups": ["g"],
        "policy": None,
        "tags": {"a": "1", "b": "2"},
    }
    assert found["service-account/s"]["attached"] == ["arn:aws:iam::aws:policy/KeysteadKeyUser"]
    assert found["role/r"] == {
        "attached": [],
        "boundary": "",
        "enabled": True,
        "policy": None,
        "session_seconds": 7200,
        "tags": {},
        "trust": TRUST,
    }


def test_what_another_directory_declares_is_named_by_its_arn() -> None:
    """It is taken as it is, since nobody here knows whether it is there."""
    arn = "arn:aws:iam::111122223333:policy/elsewhere"
    groups = ["arn:aws:iam::111122223333:group/elsewhere"]
    found = state({"kind": "user", "name": "u", "attached": [arn], "groups": groups, "boundary": arn})
    assert (found["user/u"]["attached"], found["user/u"]["boundary"]) == ([arn], arn)
    assert found["user/u"]["groups"] == groups


def test_keys_are_as_they_say_or_as_their_template_says() -> None:
    """A key has its Region and alias as its name; one of a template is written out."""
    found = state(
        {**TEMPLATE, "tags": {"team": "<<team>>"}, "policy": KEY_POLICY, "rotation_days": 100},
        {"kind": "key", "name": "alias/one", "region": "eu-west-1", "description": "d", "rotation_days": 90},
        {"kind": "key", "name": "two", "template": "web", "parameters": {"team": "a"}, "enabled": False},
    )
    assert found["key/eu-west-1/one"] == {
        "description": "d",
        "enabled": True,
        "multi_region": False,
        "policy": None,
        "rotation_days": 90,
        "spec": "SYMMETRIC_DEFAULT",
        "tags": {},
        "template": "",
        "usage": "ENCRYPT_DECRYPT",
    }
    assert found["key/eu-central-1/app/two"] == {
        "description": "",
        "enabled": False,
        "multi_region": False,
        "named": "two",
        "parameters": {"team": "a"},
        "policy": KEY_POLICY,
        "rotation_days": 100,
        "spec": "SYMMETRIC_DEFAULT",
        "tags": {"team": "a"},
        "template": "web",
        "usage": "ENCRYPT_DECRYPT",
    }
    assert found["template/web"]["usage"] == "ENCRYPT_DECRYPT"


def test_policies_may_stand_in_files_of_their_own() -> None:
    """A file that a document names is no document, whether it is a policy, a trust policy or a template's."""
    found = state(
        {"kind": "user", "name": "u", "policy": "allow.json"},
        {"kind": "role", "name": "r", "trust": "trust.yaml"},
        {"kind": "template", "name": "t", "policy": "key.yml"},
        allow_json=ALLOW,
        trust_yaml=TRUST,
        key_yml=KEY_POLICY,
    )
    assert (found["user/u"]["policy"], found["role/r"]["trust"]) == (ALLOW, TRUST)
    assert found["template/t"]["policy"] == KEY_POLICY


def test_providers_have_their_certificates_from_a_file_or_as_text() -> None:
    """Who trusts an authority of their own says so."""
    found = state(
        {"kind": "provider", "url": "https://a.example", "audiences": ["y", "x"], "authorities": "ca.pem"},
        {"kind": "provider", "url": "https://b.example", "audiences": ["x"], "authorities": "-----BEGIN X"},
        {"kind": "provider", "url": "https://c.example", "audiences": ["x"]},
    )
    assert found["provider/https://a.example"] == {
        "audiences": ["x", "y"],
        "authorities": "-----BEGIN CERTIFICATE-----",
    }
    assert found["provider/https://b.example"]["authorities"] == "-----BEGIN X"
    assert found["provider/https://c.example"]["authorities"] == ""


def test_required_tags_become_a_guardrail() -> None:
    """It has the document's name, and the tags themselves are remembered."""
    found = state({"kind": "required-tags", "tags": {"team": ["b", "a"], "own": "?*@x", "any": {}}})
    assert found["required-tags/required-tags"]["tags"]["team"] == {"only": {}, "values": ["a", "b"]}
    assert found["required-tags/required-tags"]["tags"]["any"] == {"only": {}, "values": ["?*"]}
    statements = found["guardrail/required-tags"]["policy"]["Statement"]
    assert {each["Effect"] for each in statements} == {"Deny"}


def test_a_directory_may_say_which_account_it_is_of() -> None:
    """Then it is planned for no other."""
    assert read(directory({"kind": "account", "id": "111122223333"}), "x").account == "111122223333"
    assert read(directory(), "x").account == ""


def test_order_and_form_of_documents_do_not_matter() -> None:
    """The same things in another order are the same state."""
    documents = [
        {"kind": "key", "name": "k", "template": "web", "parameters": {"team": "a"}},
        {"kind": "user", "name": "u", "attached": ["p"]},
        {"kind": "policy", "name": "p", "policy": ALLOW},
        TEMPLATE,
    ]
    assert state(*documents) == state(*reversed(documents))
    assert list(state(*documents)) == sorted(state(*documents))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "0.yaml:1: the document has no kind"),
        ([], "0.yaml:1: the document has no kind"),
        ({"name": "x"}, "0.yaml:1: the document has no kind"),
        ({"kind": "usr", "name": "x"}, "0.yaml:2: there is no kind usr; did you mean user?"),
        ({"kind": ["user"]}, "0.yaml:2: there is no kind ['user']"),
        (
            {"kind": "user", "name": "x", "atached": []},
            "0.yaml:4: a user has no member atached; did you mean attached?",
        ),
        ({"kind": "group", "name": "x", "boundary": "p"}, "0.yaml:4: a group has no member boundary"),
        ({"kind": "user"}, "0.yaml:1: a user has a name of 1 to 64 letters"),
        ({"kind": "user", "name": "a b"}, "0.yaml:3: a user has a name of 1 to 64 letters"),
        ({"kind": "user", "name": 1}, "0.yaml:3: a user has a name of 1 to 64 letters"),
        ({"kind": "user", "name": "x", "attached": "p"}, "0.yaml:4: attached is a list of texts"),
        ({"kind": "user", "name": "x", "groups": [1]}, "0.yaml:4: groups is a list of texts"),
        ({"kind": "user", "name": "x", "boundary": []}, "0.yaml:4: boundary is a text"),
        ({"kind": "user", "name": "x", "enabled": "no"}, "0.yaml:4: enabled is true or false"),
        ({"kind": "user", "name": "x", "tags": []}, "0.yaml:4: tags is an object of names and values"),
        (
            {"kind": "user", "name": "x", "tags": {"a": 1}},
            "0.yaml:4: the value of a is a text: put it in quotes",
        ),
        ({"kind": "user", "name": "x", "tags": {"aws:a": ""}}, "0.yaml:4: aws:a is no tag that can be given"),
        ({"kind": "user", "name": "x", "policy": {}}, "0.yaml:4: The policy must have a Statement."),
        (
            {"kind": "user", "name": "x", "policy": KEY_POLICY},
            "0.yaml:4: Statement 0 has an element that is not supported here: Principal.",
        ),
        (
            {"kind": "user", "name": "x", "policy": "x.json"},
            "0.yaml:4: there is no file x.json with one policy",
        ),
        (
            {"kind": "user", "name": "x", "policy": "0.yml"},
            "0.yaml:4: there is no file 0.yml with one policy; did you mean 0.yaml?",
        ),
        ({"kind": "policy", "name": "x"}, "0.yaml:1: a policy has a policy"),
        ({"kind": "guardrail", "name": "x", "policy": ALLOW}, "0.yaml:4: Statement 0: Effect must be Deny"),
        ({"kind": "role", "name": "x"}, "0.yaml:1: a role has a trust"),
        (
            {"kind": "role", "name": "x", "trust": TRUST, "session_seconds": 60},
            "0.yaml:5: session_seconds is a number from 3600 to 43200",
        ),
        (
            {"kind": "role", "name": "x", "trust": TRUST, "session_seconds": True},
            "0.yaml:5: session_seconds is a number from 3600 to 43200",
        ),
        ({"kind": "user", "name": "x", "attached": ["nobody"]}, "0.yaml:4: there is no policy nobody"),
        (
            {"kind": "user", "name": "x", "attached": ["KeysteadAuditr"]},
            "0.yaml:4: there is no policy KeysteadAuditr; did you mean KeysteadAuditor?",
        ),
        (
            {"kind": "user", "name": "x", "boundary": "arn:aws:iam::aws:policy/Other"},
            "0.yaml:4: there is no policy arn:aws:iam::aws:policy/Other",
        ),
        ({"kind": "user", "name": "x", "groups": ["nobody"]}, "0.yaml:4: there is no group nobody"),
        ({"kind": "provider", "url": "x"}, "0.yaml:3: url is the issuer's address, https://..."),
        ({"kind": "provider", "url": "https://x"}, "0.yaml:1: a provider has audiences"),
        (
            {"kind": "provider", "url": "https://x", "audiences": ["a"], "authorities": "x.pem"},
            "0.yaml:5: there is no file x.pem with certificates",
        ),
        ({"kind": "template", "name": "x", "alias": "x"}, "0.yaml:1: The template's alias must be a text"),
        ({"kind": "template", "name": "x", "policy": "x.json"}, "0.yaml:4: there is no file x.json"),
        ({"kind": "key", "name": "a b"}, "0.yaml:3: a key's name is 1 to 250 letters"),
        ({"kind": "key", "name": "aws/x"}, "0.yaml:3: a key's name is 1 to 250 letters"),
        ({"kind": "key", "name": "x", "region": "EU"}, "0.yaml:4: EU is no Region"),
        ({"kind": "key", "name": "x", "spec": "RSA_1"}, "0.yaml:4: KeySpec RSA_1 is not supported"),
        ({"kind": "key", "name": "x", "rotation_days": 1}, "0.yaml:4: rotation_days is a number from 90 to 2560"),
        (
            {"kind": "key", "name": "x", "spec": "HMAC_256", "usage": "GENERATE_VERIFY_MAC", "rotation_days": 90},
            "0.yaml:6: only keys of spec SYMMETRIC_DEFAULT rotate by themselves",
        ),
        ({"kind": "key", "name": "x", "policy": ALLOW}, "0.yaml:4: Statement 0: Principal must be"),
        ({"kind": "key", "name": "x", "parameters": {}}, "0.yaml:4: only a key with a template has parameters"),
        ({"kind": "key", "name": "x", "template": "web"}, "0.yaml:4: there is no template web"),
        ({"kind": "account", "id": "1"}, "0.yaml:3: an account's id has twelve digits"),
        ({"kind": "required-tags"}, "0.yaml:1: tags has for each required tag what its value may be"),
        (
            {"kind": "required-tags", "tags": {"aws:x": "*"}},
            "0.yaml:3: aws:x is no tag that can be given",
        ),
        (
            {"kind": "required-tags", "tags": {"x": {"valeus": []}}},
            "0.yaml:3: a required tag has no valeus; did you mean values?",
        ),
        (
            {"kind": "required-tags", "tags": {"x": {"values": ["a"], "pattern": "b"}}},
            "0.yaml:3: a required tag has values or a pattern, not both",
        ),
        ({"kind": "required-tags", "tags": {"x": {"only": {"origins": []}}}}, "0.yaml:3: only has specs, usages"),
        ({"kind": "required-tags", "tags": {"x": {"only": {"specs": []}}}}, "0.yaml:3: only: specs is a list of"),
        (
            {"kind": "required-tags", "tags": {"x": {"only": {"usages": ["EAT"]}}}},
            "0.yaml:3: only: usages is a list of what keys can have",
        ),
        ({"kind": "required-tags", "tags": {"x": []}}, "0.yaml:3: what x may be is a pattern or a list of values"),
        ({"kind": "required-tags", "tags": {"x": 1}}, "0.yaml:3: what x may be is a pattern or a list of values"),
        ({"kind": "required-tags", "tags": {"x": "${nope}"}}, "0.yaml:3: Statement"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(value: Any, told: str) -> None:
    """File, line, what it is, and the nearest name that is known."""
    (found,) = problems(value)
    assert found.startswith(told)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"template": "wep"}, "there is no template wep; did you mean web?"),
        ({"template": "web", "spec": "HMAC_256"}, "a key with a template has no spec of its own"),
        ({"template": "web", "parameters": {"team": 1}}, "parameters is an object of texts"),
        ({"template": "web", "parameters": {"team": "c"}}, "The parameter team must be a or b."),
        ({"template": "web"}, "The template needs the parameter team: a or b."),
        ({"template": "web", "colour": 1}, "a key has no member colour"),
    ],
)
def test_a_key_fits_its_template(value: dict[str, Any], told: str) -> None:
    """What the template does not ask for is not given, and what it asks for is."""
    found = problems(TEMPLATE, {"kind": "key", "name": "x", **value})
    assert any(told in each and each.startswith("1.yaml:") for each in found)


def test_a_template_whose_policy_fails_for_one_key_only() -> None:
    """The examples are fine, and this key's name is not."""
    role = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/<<who>>"}}
    policy = {"Version": "2012-10-17", "Statement": [{**role, "Action": "kms:*", "Resource": "*"}]}
    template = {"kind": "template", "name": "t", "parameters": {"who": "*"}, "policy": policy}
    key = {"kind": "key", "name": "x", "template": "t", "parameters": {"who": "a b"}}
    (found,) = problems(template, key)
    assert found.startswith("1.yaml:5: Statement 0: Principal must be")


def test_all_problems_are_told_at_once() -> None:
    """Sorted by place, with their number."""
    with pytest.raises(Undeclarable) as caught:
        state({"kind": "user", "name": "x", "colour": 1, "groups": ["g"]}, {"kind": "who"})
    assert str(caught.value) == (
        "3 problems in the declarations:\n"
        "  0.yaml:4: a user has no member colour\n"
        "  0.yaml:5: there is no group g\n"
        "  1.yaml:2: there is no kind who"
    )


def test_nothing_is_declared_twice() -> None:
    """Two users of one name, two keys of one alias, and a guardrail beside the required tags."""
    user = {"kind": "user", "name": "x"}
    assert problems(user, user) == ["1.yaml:1: user/x is declared already at 0.yaml:1"]
    key = {"kind": "key", "name": "x"}
    assert problems(key, {**key, "name": "alias/x"}) == [
        "1.yaml:1: key/eu-central-1/x is declared already at 0.yaml:1"
    ]
    assert state(key, {**key, "region": "eu-west-1"}).keys() == {"key/eu-central-1/x", "key/eu-west-1/x"}
    required = {"kind": "required-tags", "tags": {"a": "*"}}
    (told,) = problems(required, {"kind": "guardrail", "name": "required-tags", "policy": DENY})
    assert told == "1.yaml:1: guardrail/required-tags is declared already at 0.yaml:1"
    assert problems(required, required) == ["1.yaml:1: there are required-tags already: put them together"]
    one, two = {"kind": "account", "id": "1" * 12}, {"kind": "account", "id": "2" * 12}
    assert problems(one, one, two) == ["2.yaml:3: the directory is of account 111111111111 already"]


def test_a_declared_key_has_the_required_tags() -> None:
    """It is told here, before the server would refuse it."""
    found = problems(
        {"kind": "required-tags", "tags": {"team": ["a", "b"]}},
        {"kind": "key", "name": "x", "tags": {"team": "c"}},
        {"kind": "key", "name": "y"},
        {"kind": "key", "name": "z", "tags": {"team": "a"}},
    )
    assert found == [
        "1.yaml:4: the key has the tag team with the value 'c', which is not a or b",
        "2.yaml:1: the key has no tag team",
    ]


def test_a_file_with_a_policy_that_nobody_names_is_a_mistake() -> None:
    """Or a policy that was meant to be in force would be left out without a word."""
    assert problems(forgotten_json=ALLOW) == ["forgotten.json:1: the document has no kind"]


def test_there_is_a_bound() -> None:
    """So that a plan ends."""
    many = Directory(documents={"x": [Document(file="x", value={"kind": "user"})] * (MOST_DOCUMENTS + 1)})
    with pytest.raises(Undeclarable, match="more than 10000 documents"):
        read(many, "x")


def test_a_place_is_that_of_the_nearest_that_is_known() -> None:
    """A member within a member that has no line of its own is where that is."""
    document = Document(file="f", value={}, lines={(): 1, ("a",): 5})
    assert document.place("a", "b", 0) == "f:5"
    assert document.place("c") == "f:1"
    assert Document(file="f", value={}).place("c") == "f"


def test_the_page_of_declarations_has_every_member_of_every_kind(checkout: pathlib.Path) -> None:
    """And no other."""
    page = (checkout / "docs" / "reference" / "declarations.md").read_text()
    sections = {part.partition("\n")[0]: part for part in page.split("\n## ")[1:]}
    told = {
        kind: set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)) for kind, text in sections.items()
    }
    assert told == {kind: set(members) for kind, members in reading._MEMBERS.items()}
