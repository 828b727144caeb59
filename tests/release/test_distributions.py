"""Wheel and source distribution have what they must have, and the wheel works where there is nothing else."""

import io
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import httpx2
import pytest
from release.distributions import ROOT, Distributions, build, faults, files_of, rebuilt
from tests.end_to_end.process import Child, DevProcess

from eventbus_gateway import __version__
from eventbus_gateway.auth.keys import new_key

_CONFIGURATION = """
[kafka]
bootstrap_servers = "broker:9092"
[registry]
url = "https://registry.example"
[auth]
mode = "anonymous"
"""
LOCK = ROOT / "requirements" / "runtime.lock"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(built: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel and what is locked, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    python = str(folder / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(LOCK)], check=True)
    subprocess.run([*pip, "--no-deps", "--no-index", str(built.wheel)], check=True)
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "check"], check=True, capture_output=True)
    return folder / "bin"


def test_they_have_what_they_must_have_and_nothing_else(built: Distributions) -> None:
    assert faults(built) == []


def test_the_version_is_that_of_the_package(built: Distributions) -> None:
    (metadata,) = [text for name, text in files_of(built.wheel).items() if name.endswith(".dist-info/METADATA")]
    said = Parser().parsestr(metadata.decode())
    assert (said["Name"], said["Version"]) == ("eventbus-gateway", __version__)
    assert said["License-Expression"] == "Apache-2.0"
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert sorted(said.get_all("Provides-Extra", [])) == sorted(declared)
    assert built.source.name == f"eventbus_gateway-{__version__}.tar.gz"


def test_the_source_distribution_builds_the_same_wheel(built: Distributions, tmp_path: Path) -> None:
    assert rebuilt(built.source, tmp_path).read_bytes() == built.wheel.read_bytes()


def test_what_must_not_be_in_them_is_found(built: Distributions, tmp_path: Path) -> None:
    wheel, source = tmp_path / built.wheel.name, tmp_path / built.source.name
    shutil.copy(built.wheel, wheel)
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("tests/test_nothing.py", "")
        archive.writestr("eventbus_gateway/key.txt", new_key())
    with tarfile.open(source, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("eventbus_gateway-0/server.pem"), io.BytesIO())
    found = "\n".join(faults(Distributions(wheel, source)))
    for sentence in (
        "the wheel has tests/test_nothing.py",
        "the wheel has tests/test_nothing.py beside its package",
        "the wheel has something that looks like a secret in eventbus_gateway/key.txt",
        "the source distribution has server.pem",
        "the source distribution has no LICENSE",
    ):
        assert sentence in found


def test_the_installed_command_tells_its_version_and_checks_a_configuration(installed: Path, tmp_path: Path) -> None:
    assert _said(installed, tmp_path, "--version") == f"eventbus, version {__version__}\n"
    file = tmp_path / "gateway.toml"
    file.write_text(_CONFIGURATION)
    assert 'bootstrap_servers = "broker:9092"' in _said(installed, tmp_path, "check-config", "--config", str(file))


class _InstalledDev(DevProcess):
    """``eventbus dev`` of another environment.

    Args:
        programs: the environment's folder of programs.
        cwd: working directory.
    """

    def __init__(self, programs: Path, cwd: Path) -> None:
        command = [str(programs / "eventbus"), "dev", "--port", "0", "--folder", str(ROOT / "examples")]
        Child.__init__(self, command, {}, cwd)


@pytest.fixture
def dev(installed: Path, tmp_path: Path) -> Iterator[_InstalledDev]:
    with _InstalledDev(installed, tmp_path) as process:
        yield process


def test_the_installed_gateway_publishes_and_shows_its_contract(dev: _InstalledDev) -> None:
    url = dev.welcome().url
    with httpx2.Client(base_url=url, trust_env=False) as client:
        sample = (ROOT / "examples" / "appointments.json").read_bytes()
        answer = client.post(
            "/v1/topics/appointments/events", content=sample, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 201
        assert answer.json()["topic"] == "appointments"
        assert client.get("/openapi.json").json()["info"]["version"] == __version__
        assert client.get("/docs").status_code == 200
    dev.sigterm()
    assert dev.ended() == 0


def _said(programs: Path, cwd: Path, *arguments: str) -> str:
    with Child([str(programs / "eventbus"), *arguments], {}, cwd) as child:
        assert child.ended() == 0, child.err
        return child.out
