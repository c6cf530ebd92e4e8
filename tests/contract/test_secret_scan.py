"""Secrets are found by structure, and what only looks like one is let be."""

import json

import pytest

from curator.contract.secret_scan import find_secrets
from trainer.data.dialogues import Dataset, Dialogue
from trainer.training.finetune import without_secrets

# Made up, or the examples of the services' own documentation; joined here so that no scanner trips over this file.
KEY = "AKIA" + "IOSFODNN7EXAMPLE"
FOUND = [
    ("cloud key", f"my key is {KEY} do not tell"),
    ("cloud key", "gh" + "p_" + "a1B2c3D4e5F6a7B8c9D0" * 2),
    ("cloud key", "sk" + "-proj-" + "abcdEFGH1234ijklMNOP5678"),
    ("cloud key", "xox" + "b-123456789012-abcdefABCDEF"),
    ("private key", "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE"),
    ("token", "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0" + ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"),
    ("password in an address", "postgres://boat:" + "s3cret@db.example.org/tides"),
    ("card number", "the card is 4111 1111 1111 1111, until May"),
    ("card number", "5500-0055-5555-5559"),
    ("card number", "378282246310005"),
    ("IBAN", "pay to DE89 3704 0044 0532 0130 00 please"),
    ("IBAN", "GB29NWBK60161331926819"),
    ("recovery phrase", "seed phrase: army van defense carry jealous true garbage claim echo media make crunch"),
    ("cloud key", KEY[:9] + "\u200b" + KEY[9:]),
    ("cloud key", KEY[:9] + "\n" + KEY[9:]),
    ("card number", "４１１１ 1111 1111 1111"),
]
LET_BE = [
    "I rang 0044 20 7946 0958 at 19:30 and again on 2024-05-11.",
    "4111 1111 1111 1112",
    "0000 0000 0000 0000",
    "1,234,567,890,123 grains of sand",
    "evt-202408301825396 in 2024/08/30",
    "https://example.org/a:b@c and ann@example.org",
    "http://example.org:8080/tides",
    "the seed phrase of the talk was: be kind",
    "DE00 3704 0044 0532 0130 00",
    "-----BEGIN CERTIFICATE-----",
    "skip-the-line-and-go-home-early-tonight",
    "pi is 3.14159265358979323846",
    "",
]


@pytest.mark.parametrize(("kind", "text"), FOUND)
def test_a_secret_is_found(kind, text):
    assert find_secrets(text)[0] == kind


@pytest.mark.parametrize("text", LET_BE)
def test_what_is_none_is_let_be(text):
    assert not find_secrets(text)


def test_a_sample_with_one_is_left_out_named_and_not_shown(tmp_path):
    dialogues = [
        Dialogue("one", "hi", "hello"),
        Dialogue("two", f"it is {KEY}", "noted"),
        Dialogue("three", "so?", "yes", (("was it", f"it was {KEY}"),)),
    ]
    kept, notes = without_secrets(Dataset(tmp_path, dialogues))
    assert [one.name for one in kept.dialogues] == ["one"]
    assert notes == [
        "2 samples left out: they hold a secret (two: cloud key, three: cloud key); --keep-secrets trains on them"
    ]
    assert KEY not in json.dumps(notes)
