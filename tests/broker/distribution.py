"""The Kafka broker's jars, a formatted storage template and a class archive, made once per checkout."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_KAFKA = re.search(r"<artifactId>kafka_2.13</artifactId>\s*<version>([^<]+)<", (_HERE / "pom.xml").read_text())
VERSION = _KAFKA[1] if _KAFKA else "unknown"
"""Version of the broker, which only pom.xml states."""

_HOME = _HERE.parents[1] / "build" / "kafka"
_FOLDER = _HOME / VERSION
_CLUSTER_ID = "ZXZlbnRidXMtdGVzdC1hYQ"


def missing() -> tuple[str, ...]:
    """Names of the programs without which no broker can be started; Maven is needed only for the first time."""
    needed = ("java",) if (_FOLDER / "libs").is_dir() else ("java", "mvn")
    return tuple(name for name in needed if shutil.which(name) is None)


def libraries() -> Path:
    """The folder with the broker's jars, fetched by Maven if it is not there yet.

    Raises:
        subprocess.CalledProcessError: Maven cannot fetch them.
    """
    with _locked():
        libs = _FOLDER / "libs"
        if not libs.is_dir():
            with tempfile.TemporaryDirectory(dir=_HOME) as folder:
                _fetch(Path(folder) / "libs")
                _FOLDER.mkdir(exist_ok=True)
                (Path(folder) / "libs").rename(libs)
        return libs


def storage_template() -> Path:
    """A folder as ``kafka-storage format`` leaves it for node 0; other nodes change the ids in ``meta.properties``.

    Formatting costs as much as starting a JVM, copying two small files does not.
    """
    libs = libraries()
    with _locked():
        template = _FOLDER / "template"
        if not template.is_dir():
            with tempfile.TemporaryDirectory(dir=_HOME) as folder:
                _format(libs, Path(folder))
                (Path(folder) / "data").rename(template)
        return template


@contextlib.contextmanager
def class_archive() -> Iterator[tuple[str, ...]]:
    """JVM options that load classes from a shared archive, or that write one while the block runs.

    The block must start a broker with these options and end it with SIGTERM if the archive is to be written; a JVM
    that finds no usable archive just starts slower.
    """
    archive = _FOLDER / "classes.jsa"
    if archive.exists():
        yield ("-Xshare:auto", f"-XX:SharedArchiveFile={archive}", "-Xlog:cds=off", "-Xlog:cds+dynamic=off")
        return
    fresh = _FOLDER / f"classes.{os.getpid()}.jsa"
    yield (f"-XX:ArchiveClassesAtExit={fresh}", "-Xlog:cds=off", "-Xlog:cds+dynamic=off")
    if fresh.exists():
        fresh.replace(archive)


def has_class_archive() -> bool:
    """Whether the next broker starts from the shared class archive."""
    return (_FOLDER / "classes.jsa").exists()


def classpath() -> str:
    """All jars in a fixed order: the class archive is only valid for the very same class path."""
    return ":".join(str(jar) for jar in sorted(libraries().glob("*.jar")))


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """One process at a time, also across concurrent test runs; the kernel lets go when the process dies."""
    _HOME.mkdir(parents=True, exist_ok=True)
    with (_HOME / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _fetch(into: Path) -> None:
    pom = str(_HERE / "pom.xml")
    command = ["mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={into}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=600)


def _format(libs: Path, folder: Path) -> None:
    properties = folder / "server.properties"
    properties.write_text(
        "process.roles=broker,controller\nnode.id=0\ncontroller.quorum.voters=0@127.0.0.1:1\n"
        "listeners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1\ncontroller.listener.names=CONTROLLER\n"
        f"log.dirs={folder / 'data'}\n"
    )
    tool = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{libs}/*", "kafka.tools.StorageTool"]
    command = [*tool, "format", "-t", _CLUSTER_ID, "-c", str(properties)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
