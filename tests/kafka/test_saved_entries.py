"""Tables as lines: what was saved is what is read, and what is not whole is not taken for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.kafka.saved_entries import SavedEntry, from_lines, to_lines

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
ENTRIES = st.lists(
    st.builds(SavedEntry, st.sampled_from(["subscriptions", "keys"]), TEXTS.filter(bool), TEXTS.map(str.encode)),
    max_size=5,
    unique_by=lambda entry: (entry.table, entry.key),
)


@given(ENTRIES)
def test_what_was_saved_is_what_is_read(entries: list[SavedEntry]) -> None:
    lines = list(to_lines(entries))
    assert all("\n" not in line for line in lines)
    assert from_lines(lines) == entries


@given(ENTRIES, st.data())
def test_a_file_with_a_line_missing_or_twice_is_refused(entries: list[SavedEntry], data: st.DataObject) -> None:
    lines = list(to_lines(entries))
    place = data.draw(st.integers(0, len(lines) - 1))
    with pytest.raises(ValueError, match="it is not whole"):
        from_lines(lines[:place] + lines[place + 1 :])
    with pytest.raises(ValueError, match=r"it is not whole|is none that|was there before"):
        from_lines([*lines[: place + 1], *lines[place:]])


def test_a_file_with_two_entries_for_a_key_is_refused() -> None:
    entry = SavedEntry("keys", "labs", b"[]")
    with pytest.raises(ValueError, match="line 2 is an entry that was there before"):
        from_lines(to_lines([entry, entry._replace(value=b"{}")]))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "not JSON with s3cret in it",
        "[]",
        '{"format": 2, "table": "keys", "key": "a", "value": "s3cret"}',
        '{"format": 1, "table": "keys", "key": "", "value": "s3cret"}',
        '{"format": 1, "table": "keys", "key": "a", "value": ["s3cret"]}',
        '{"format": 1, "table": 1, "key": "a", "value": "s3cret"}',
        '{"format": 1, "key": "a"}',
    ],
)
def test_a_line_that_is_none_is_told_by_its_number_and_not_quoted(line: str) -> None:
    with pytest.raises(ValueError, match="line 1") as error:
        from_lines([line, '{"format": 1, "entries": 1}'])
    assert "s3cret" not in str(error.value)
