"""How files become subjects, versions and ids."""

import asyncio
import itertools
from pathlib import Path

import pytest

from eventbus_gateway.errors import SchemaUnusable
from eventbus_gateway.schemas.folder import FolderRegistry, id_of


def folder(path: Path, **files: str) -> FolderRegistry:
    return written(path, {f"{name}.avsc": text for name, text in files.items()})


def written(path: Path, files: dict[str, str]) -> FolderRegistry:
    for name, text in files.items():
        (path / name).write_text(text, encoding="utf-8")
    return FolderRegistry(path)


def subjects(registry: FolderRegistry) -> list[str]:
    return asyncio.run(registry.subjects())


def fault(path: Path, files: dict[str, str]) -> str:
    with pytest.raises(SchemaUnusable) as refused:
        written(path, files)
    return refused.value.detail


def test_a_file_named_after_a_topic_is_the_schema_of_its_values(tmp_path: Path) -> None:
    registry = folder(tmp_path, orders='"int"')
    found = asyncio.run(registry.latest("orders-value"))
    assert (found.subject, found.version, found.text) == ("orders-value", 1, '"int"')


def test_a_file_that_ends_in_key_is_the_schema_of_the_topics_keys(tmp_path: Path) -> None:
    registry = written(tmp_path, {"a-key.avsc": '"string"', "a.avsc": '"int"'})
    assert subjects(registry) == ["a-key", "a-value"]
    assert asyncio.run(registry.latest("a-key")).text == '"string"'


def test_versions_are_named_with_their_subject(tmp_path: Path) -> None:
    files = {"orders.avsc": '"int"', "orders-value.v2.avsc": '"long"', "orders-value.v10.avsc": '"double"'}
    registry = written(tmp_path, files)
    assert asyncio.run(registry.versions("orders-value")) == [1, 2, 10]
    assert asyncio.run(registry.latest("orders-value")).text == '"double"'


def test_topics_are_those_with_a_schema_for_their_values(tmp_path: Path) -> None:
    files = {"b.avsc": '"int"', "a.b-c_d.avsc": '"int"', "c-key.avsc": '"int"', "d.v1.avsc": '"int"'}
    assert written(tmp_path, files).topics() == ["a.b-c_d", "b"]


def test_files_of_other_kinds_and_folders_inside_are_left_alone(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "other.avsc").write_text("not json")
    registry = written(tmp_path, {"orders.avsc": '"int"', "README.md": "#", "orders.avsc.bak": "not json"})
    assert subjects(registry) == ["orders-value"]


def test_an_empty_folder_has_no_subjects(tmp_path: Path) -> None:
    assert subjects(FolderRegistry(tmp_path)) == []


def test_an_id_stays_the_same_when_other_files_come_and_go(tmp_path: Path) -> None:
    before = asyncio.run(folder(tmp_path, orders='"int"', gone='"bytes"').latest("orders-value")).id
    (tmp_path / "gone.avsc").unlink()
    after = asyncio.run(folder(tmp_path, **{f"topic{n}": f'"t{n}"' for n in range(50)}).latest("orders-value")).id
    assert before == after == id_of('"int"')


def test_the_same_text_has_the_same_id_and_another_text_another(tmp_path: Path) -> None:
    registry = folder(tmp_path, a='"int"', b='"int"', c='"long"')
    ids = [asyncio.run(registry.latest(f"{topic}-value")).id for topic in "abc"]
    assert ids[0] == ids[1] != ids[2]


def test_ids_are_positive_and_fit_31_bits() -> None:
    ids = [id_of(str(number)) for number in range(2_000)]
    assert min(ids) >= 1
    assert 2**30 < max(ids) < 2**31


def test_two_texts_with_one_id_are_refused(tmp_path: Path) -> None:
    seen: dict[int, str] = {}
    for number in itertools.count():
        text = f'"t{number}"'
        twin = seen.setdefault(id_of(text), text)
        if twin != text:
            break
    detail = fault(tmp_path, {"a.avsc": twin, "b.avsc": text})
    assert "b.avsc: gets the same id as a.avsc" in detail
    assert subjects(written(tmp_path, {"b.avsc": text + " "})) == ["a-value", "b-value"]


def test_all_bad_files_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "d.avsc").write_bytes(b'"\xff"')
    (tmp_path / "e.avsc").mkdir()
    detail = fault(tmp_path, {"a.avsc": '{"type":\n "record",}', "b.avsc": "7", "c.avsc": "", "good.avsc": '"int"'})
    faults = detail.split("; ")
    assert [line.split(":")[0] for line in faults] == ["a.avsc", "b.avsc", "c.avsc", "d.avsc", "e.avsc"]
    assert "line 2" in faults[0]
    assert "object, array or string" in faults[1]


def test_a_file_larger_than_the_bound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.avsc").write_text('"int"'.ljust(100))
    assert subjects(FolderRegistry(tmp_path, max_file_bytes=100)) == ["a-value"]
    with pytest.raises(SchemaUnusable, match="larger than 99 bytes"):
        FolderRegistry(tmp_path, max_file_bytes=99)


def test_more_files_than_the_bound_are_refused(tmp_path: Path) -> None:
    folder(tmp_path, a='"int"', b='"int"')
    with pytest.raises(SchemaUnusable, match="more than 1 schema files"):
        FolderRegistry(tmp_path, max_files=1)


@pytest.mark.parametrize("name", ["orders-value.avsc", "-key.avsc", "orders-value.v9999999999.avsc"])
def test_a_name_that_fits_no_rule_is_refused(tmp_path: Path, name: str) -> None:
    assert f"{name}: name it <topic>.avsc" in fault(tmp_path, {name: '"int"'})


def test_two_files_for_one_version_are_refused(tmp_path: Path) -> None:
    detail = fault(tmp_path, {"orders.avsc": '"int"', "orders-value.v1.avsc": '"long"'})
    assert detail == "orders.avsc: is version 1 of orders-value, and so is orders-value.v1.avsc"


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(SchemaUnusable, match="nowhere cannot be read"):
        FolderRegistry(tmp_path / "nowhere")


def test_a_folder_is_read_once(tmp_path: Path) -> None:
    registry = folder(tmp_path, orders='"int"')
    (tmp_path / "orders.avsc").unlink()
    assert asyncio.run(registry.latest("orders-value")).text == '"int"'
