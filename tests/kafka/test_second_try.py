"""Which refused records may be sent again without breaking the order of their key."""

from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.errors import OutcomeUnknown, RecordRefused
from eventbus_gateway.kafka.records import NotStored, Outcome, Record, Stored, Unknown
from eventbus_gateway.kafka.second_try import overtaken_keys

REFUSED = NotStored(RecordRefused())
UNKNOWN = Unknown(OutcomeUnknown())
FATES: dict[str, Outcome] = {"s": Stored(0, 0, 0), "f": REFUSED, "n": REFUSED, "u": UNKNOWN}


def overtaken(keys: str, fates: str) -> set[bytes]:
    """Keys as letters (``-`` is none); fates: stored, failed (could be sent again), not stored, unknown."""
    records = [Record(None if key == "-" else key.encode(), b"", []) for key in keys]
    spoiled = [index for index, fate in enumerate(fates) if fate == "f"]
    return overtaken_keys(records, [FATES[fate] for fate in fates], spoiled)


def test_a_later_stored_record_of_the_key_keeps_it_out() -> None:
    assert overtaken("aa", "fs") == {b"a"}
    assert overtaken("aaa", "fsf") == {b"a"}


def test_an_earlier_stored_record_of_the_key_does_not() -> None:
    assert overtaken("aa", "sf") == set()


def test_other_keys_and_records_without_key_do_not_matter() -> None:
    assert overtaken("ab", "fs") == set()
    assert overtaken("--", "fs") == set()


def test_an_unknown_record_of_the_key_keeps_it_out_wherever_it_is() -> None:
    assert overtaken("aa", "uf") == {b"a"}
    assert overtaken("aa", "fu") == {b"a"}


def test_a_later_record_that_is_certainly_not_stored_does_not() -> None:
    assert overtaken("aa", "fn") == set()


@given(st.lists(st.tuples(st.sampled_from("ab-"), st.sampled_from("sfnu")), max_size=12))
def test_sending_the_rest_again_never_puts_a_record_behind_a_later_one(history: list[tuple[str, str]]) -> None:
    keys, fates = "".join(key for key, _ in history), "".join(fate for _, fate in history)
    kept_out = overtaken(keys, fates)
    for key in set(keys) - {"-"}:
        stored = [n for n, (k, fate) in enumerate(history) if k == key and fate == "s"]
        again = [n for n, (k, fate) in enumerate(history) if k == key and fate == "f"]
        if key.encode() not in kept_out:
            assert stored + again == sorted(stored + again)
            assert not again or not any(k == key and fate == "u" for k, fate in history)
        else:
            assert again
