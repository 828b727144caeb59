"""Wheel and source distribution: built without a network, and looked into."""

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PACKAGE = "eventbus_gateway"

_IN_WHEEL = frozenset(
    {f"{PACKAGE}/__init__.py", f"{PACKAGE}/py.typed", f"{PACKAGE}/api/openapi.json", f"{PACKAGE}/api/contract.css"}
)
_IN_SOURCE = frozenset(
    {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "requirements/runtime.lock", "docs/index.md"}
    | {f"src/{name}" for name in _IN_WHEEL}
)
_UNWANTED = frozenset({"tests", "loadtests", "build", "dist", "__pycache__", ".git", ".venv"})
_SECRET = re.compile(
    rb"eventbus_[0-9A-Za-z]{49}"  # an API key
    rb"|whsec_[0-9A-Za-z+/]{24,}"  # the secret of a webhook
    rb"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    rb"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"  # an access key of AWS
    rb"|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}"  # a token
)


class Distributions(NamedTuple):
    """What is published.

    Args:
        wheel: what is installed.
        source: what the wheel is built from.
    """

    wheel: Path
    source: Path


def build(project: Path, out: Path) -> Distributions:
    """Build both with the build backend itself, which needs nothing but what is installed.

    Raises:
        CalledProcessError: they cannot be built.
    """
    _hatchling(project, "-d", str(out))
    (wheel,), (source,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return Distributions(wheel, source)


def rebuilt(source: Path, folder: Path) -> Path:
    """The wheel that whoever has only the source distribution builds.

    Raises:
        CalledProcessError: it cannot be built.
    """
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    (project,) = folder.iterdir()
    _hatchling(project, "-t", "wheel", "-d", str(folder / "dist"))
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def files_of(distribution: Path) -> dict[str, bytes]:
    """Everything in a distribution; names in a source distribution are without its topmost folder."""
    if distribution.suffix == ".whl":
        with zipfile.ZipFile(distribution) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    with tarfile.open(distribution) as archive:
        files = ((member, archive.extractfile(member)) for member in archive if member.isfile())
        return {member.name.partition("/")[2]: file.read() for member, file in files if file is not None}


def faults(distributions: Distributions) -> list[str]:
    """What is missing in them, and what must not be there."""
    wheel, source = files_of(distributions.wheel), files_of(distributions.source)
    licences = [name for name in wheel if re.fullmatch(rf"{PACKAGE}-[^/]+\.dist-info/licenses/LICENSE", name)]
    return [
        *(f"the wheel has no {name}" for name in sorted(_IN_WHEEL - wheel.keys())),
        *(f"the source distribution has no {name}" for name in sorted(_IN_SOURCE - source.keys())),
        *([] if licences else ["the wheel has no licence"]),
        *_strangers("wheel", wheel),
        *_strangers("source distribution", source),
    ]


def _strangers(kind: str, files: Mapping[str, bytes]) -> list[str]:
    found = []
    for name, content in files.items():
        path = PurePosixPath(name)
        if _UNWANTED & {*path.parts} or path.suffix in {".pem", ".key"}:
            found.append(f"the {kind} has {name}")
        if kind == "wheel" and not re.match(rf"{PACKAGE}(-[^/]+\.dist-info)?/", name):
            found.append(f"the wheel has {name} beside its package")
        if _SECRET.search(content):
            found.append(f"the {kind} has something that looks like a secret in {name}")
    return found


def _hatchling(project: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "hatchling", "build", *arguments]
    subprocess.run(command, check=True, cwd=project, capture_output=True, text=True)
