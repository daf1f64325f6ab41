"""What is stored is looked through: a bank leaks nothing, and what is planted is found."""

import json

import msgspec
import pytest

from scudo.governance import find_leaks

PLANTED = [
    ("card", "4111 1111 1111 1111"),
    ("iban", "IT60X0542811101000000123456"),
    ("email", "anna.rossi@example.org"),
    ("phone", "+39 06 1234 5678"),
]


def test_a_bank_that_has_lived_leaks_nothing(books):
    """Commands, events, answers and records of everything that can happen."""
    assert list(find_leaks(books.reader, limit=100_000)) == []


@pytest.mark.parametrize(("kind", "text"), PLANTED)
@pytest.mark.parametrize("column", ["command", "events", "answer", "body"])
def test_what_is_planted_is_found_and_not_told(books, forging, column, kind, text):
    """In each place that holds what somebody may have sent; the path is told, not the value."""
    value = {"note": [text]}
    encoded = (
        json.dumps(value).encode()
        if column in {"answer", "body"}
        else msgspec.msgpack.encode([501, value])
    )
    table, key = ("fabric.record", "id") if column == "body" else ("fabric.log_entry", "position")
    forging.execute(
        f"UPDATE {table} SET {column} = %s WHERE {key} = (SELECT max({key}) FROM {table})",
        (encoded,),
    )

    (leak,) = find_leaks(books.reader, limit=5)

    assert (leak.table, leak.kind) == (table, kind)
    assert leak.path.startswith(column)
    assert text not in repr(leak)


def test_a_field_that_is_named_like_a_secret_is_found(books, forging):
    """Whatever stands in it."""
    forging.execute(
        "UPDATE fabric.log_entry SET answer = %s WHERE position ="
        " (SELECT max(position) FROM fabric.log_entry)",
        (b'{"card":{"cvv":"..."}}',),
    )

    assert [leak.path for leak in find_leaks(books.reader, limit=1)] == ["answer.card.cvv"]
