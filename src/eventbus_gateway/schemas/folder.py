"""A folder of Avro schemas in the place of a registry.

=========================  ==========================================
file                       stands for
=========================  ==========================================
``<topic>.avsc``           subject ``<topic>-value``, version 1
``<topic>-key.avsc``       subject ``<topic>-key``, version 1
``<subject>.v<N>.avsc``    that subject, version N
=========================  ==========================================

A topic whose own name ends in ``-key``, ``-value`` or ``.v<N>`` needs the third form. The id of a schema is derived
from its text: it stays the same over restarts, machines and changes of other files, and a changed text gets another.
"""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

import orjson

from eventbus_gateway.errors import SchemaMissing, SchemaUnusable, UnknownSchemaVersion
from eventbus_gateway.schema_ids import CONFLUENT, SchemaId
from eventbus_gateway.schemas.registry import RegisteredSchema, no_such_version
from eventbus_gateway.schemas.sameness import normal_form

DEFAULT_MAX_FILE_BYTES = 1_048_576
DEFAULT_MAX_FILES = 10_000
LARGEST_VERSION = 2**31 - 1

_EXPLICIT = re.compile(r"^(?P<subject>.+)\.v(?P<version>[1-9][0-9]{0,9})$")


class _Place(NamedTuple):
    subject: str
    version: int


class FolderRegistry:
    """Schemas from files, read once.

    Args:
        path: the folder; folders inside it are not read.
        max_file_bytes: largest file.
        max_files: most files.

    Raises:
        SchemaUnusable: the folder or any of its files cannot be used; names all of them.
    """

    framing = CONFLUENT

    def __init__(
        self,
        path: str | Path,
        *,
        max_file_bytes: int = DEFAULT_MAX_FILE_BYTES,
        max_files: int = DEFAULT_MAX_FILES,
    ) -> None:
        files = _files(Path(path), max_files)
        faults: list[str] = []
        texts: dict[Path, str] = {}
        for file in files:
            text = _text(file, max_file_bytes, faults)
            if text is not None:
                texts[file] = text
        places = _places(texts, faults)
        ids = _ids(texts, faults)
        if faults:
            raise SchemaUnusable("; ".join(faults))
        self._subjects: dict[str, dict[int, RegisteredSchema]] = {}
        self._by_id: dict[int, RegisteredSchema] = {}
        for file, (subject, version) in sorted(places.items(), key=lambda item: item[1]):
            text = texts[file]
            schema_id = ids[text]
            self._subjects.setdefault(subject, {})[version] = RegisteredSchema(schema_id, subject, version, text)
            self._by_id[schema_id] = RegisteredSchema(schema_id, "", 0, text)

    def topics(self) -> list[str]:
        """Topics that have a schema for their values, sorted."""
        return sorted(name.removesuffix("-value") for name in self._subjects if name.endswith("-value"))

    async def latest(self, subject: str) -> RegisteredSchema:
        """The newest version of a subject; see `Registry.latest`."""
        versions = self._versions(subject)
        return versions[max(versions)]

    async def version(self, subject: str, version: int) -> RegisteredSchema:
        """One version of a subject; see `Registry.version`."""
        found = self._versions(subject).get(version)
        if found is None:
            raise UnknownSchemaVersion(f"subject {subject} has no version {version}")
        return found

    async def versions(self, subject: str) -> list[int]:
        """The versions of a subject; see `Registry.versions`."""
        return sorted(self._versions(subject))

    async def by_id(self, schema_id: SchemaId) -> RegisteredSchema:
        """A schema by its id; see `Registry.by_id`."""
        found = self._by_id.get(schema_id) if isinstance(schema_id, int) else None
        if found is None:
            raise SchemaMissing(f"the schema folder has no schema with id {schema_id}")
        return found

    async def find(self, subject: str, text: str) -> RegisteredSchema:
        """The version of a subject that is the schema of a text; see `Registry.find`."""
        versions, wanted = self._versions(subject), _form(text)
        for number in sorted(versions, reverse=True):
            if wanted is not None and _form(versions[number].text) == wanted:
                return versions[number]
        raise no_such_version(subject)

    async def subjects(self) -> list[str]:
        """All subjects, sorted."""
        return sorted(self._subjects)

    async def aclose(self) -> None:
        """Nothing is held open."""

    def _versions(self, subject: str) -> dict[int, RegisteredSchema]:
        versions = self._subjects.get(subject)
        if versions is None:
            raise SchemaMissing(f"no schema is registered under subject {subject}")
        return versions


def _form(text: str) -> bytes | None:
    """What texts of the same schema have in common, None for what is none."""
    try:
        return normal_form(text)
    except ValueError:
        return None


def _files(folder: Path, max_files: int) -> list[Path]:
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix == ".avsc")
    except OSError as error:
        raise SchemaUnusable(f"the schema folder {folder} cannot be read: {error.strerror}") from None
    if len(files) > max_files:
        raise SchemaUnusable(f"the schema folder {folder} has more than {max_files} schema files")
    return files


def _text(file: Path, max_bytes: int, faults: list[str]) -> str | None:
    """The file's text when it is JSON of a shape that a schema can have, else a fault."""
    try:
        with file.open("rb") as stream:
            content = stream.read(max_bytes + 1)
    except OSError as error:
        faults.append(f"{file.name}: cannot be read: {error.strerror}")
        return None
    if len(content) > max_bytes:
        faults.append(f"{file.name}: larger than {max_bytes} bytes")
        return None
    try:
        schema = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        faults.append(f"{file.name}: not JSON at line {error.lineno}, column {error.colno}")
        return None
    if not isinstance(schema, dict | list | str):
        faults.append(f"{file.name}: a schema is a JSON object, array or string")
        return None
    return content.decode()


def _places(texts: dict[Path, str], faults: list[str]) -> dict[Path, _Place]:
    places: dict[Path, _Place] = {}
    taken: dict[_Place, Path] = {}
    for file in texts:
        place = _place(file.stem)
        if place is None:
            faults.append(
                f"{file.name}: name it <topic>.avsc, <topic>-key.avsc or <subject>.v<N>.avsc, "
                f"where <topic> does not end in -value and N is at most {LARGEST_VERSION}"
            )
        elif place in taken:
            other = taken[place].name
            faults.append(f"{file.name}: is version {place.version} of {place.subject}, and so is {other}")
        else:
            places[file] = place
            taken[place] = file
    return places


def _place(stem: str) -> _Place | None:
    explicit = _EXPLICIT.match(stem)
    if explicit is not None:
        version = int(explicit["version"])
        return _Place(explicit["subject"], version) if version <= LARGEST_VERSION else None
    if stem.endswith("-key"):
        return _Place(stem, 1) if stem != "-key" else None
    # "orders-value.avsc" means the subject, but by the rule for topics it would be "orders-value-value".
    return None if stem.endswith("-value") else _Place(f"{stem}-value", 1)


def _ids(texts: dict[Path, str], faults: list[str]) -> dict[str, int]:
    """An id for each text; two texts with one id are refused, as records would be read with the wrong schema."""
    ids: dict[str, int] = {}
    owners: dict[int, Path] = {}
    for file, text in texts.items():
        if text in ids:
            continue
        schema_id = id_of(text)
        if schema_id in owners:
            other = owners[schema_id].name
            faults.append(f"{file.name}: gets the same id as {other}; add a space to the end of either")
        ids[text] = schema_id
        owners[schema_id] = file
    return ids


def id_of(text: str) -> int:
    """The id of a schema text: 31 bits of its SHA-256, positive as Confluent's ids are."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") & 0x7FFFFFFF or 1
