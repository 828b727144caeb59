"""The Kafka broker's jars, a formatted storage template and a class archive, made once per checkout."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.made_once import made_once

_HERE = Path(__file__).resolve().parent
_KAFKA = re.search(r"<artifactId>kafka_2.13</artifactId>\s*<version>([^<]+)<", (_HERE / "pom.xml").read_text())
VERSION = _KAFKA[1] if _KAFKA else "unknown"
"""Version of the broker, which only pom.xml states."""

_FOLDER = _HERE.parents[1] / "build" / "kafka" / VERSION
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
    return made_once(_FOLDER / "libs", _fetch)


def storage_template() -> Path:
    """A folder as ``kafka-storage format`` leaves it for node 0; other nodes change the ids in ``meta.properties``.

    Formatting costs as much as starting a JVM, copying two small files does not.
    """
    return made_once(_FOLDER / "template", partial(_format, libraries()))


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


def _fetch(folder: Path) -> Path:
    pom, into = str(_HERE / "pom.xml"), folder / "libs"
    command = ["mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={into}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=600)
    return into


def _format(libs: Path, folder: Path) -> Path:
    properties = folder / "server.properties"
    properties.write_text(
        "process.roles=broker,controller\nnode.id=0\ncontroller.quorum.voters=0@127.0.0.1:1\n"
        "listeners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1\ncontroller.listener.names=CONTROLLER\n"
        f"log.dirs={folder / 'data'}\n"
    )
    tool = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{libs}/*", "kafka.tools.StorageTool"]
    command = [*tool, "format", "-t", _CLUSTER_ID, "-c", str(properties)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    return folder / "data"
