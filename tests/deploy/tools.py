"""Programs that check the chart: helm, built from its Go module, and promtool, out of Debian's package.

Made once per checkout; ``python -m tests.deploy.tools`` makes them ahead of the tests.
"""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.made_once import made_once

ROOT = Path(__file__).resolve().parents[2]
HELM_VERSION = "v3.18.6"

_HOME = ROOT / "build" / "tools"
_HELM = _HOME / f"helm-{HELM_VERSION}"
_PROMTOOL = _HOME / "promtool"


class Missing(Exception):
    """A program is not there and cannot be made here; the text says what it would take."""


def helm() -> Path:
    """The program helm.

    Raises:
        Missing: there is no Go.
        subprocess.CalledProcessError: it cannot be built.
    """
    if shutil.which("go") is None and not _HELM.exists():
        raise Missing("helm is built by go, which was not found")
    return made_once(_HELM, _build_helm)


def promtool() -> Path:
    """The program promtool.

    Raises:
        Missing: there are no tools for Debian's packages.
        subprocess.CalledProcessError: the package cannot be fetched.
    """
    if not _PROMTOOL.exists():
        if installed := shutil.which("promtool"):
            return Path(installed)
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise Missing("promtool comes from Debian's package prometheus, and there is no apt-get here")
    return made_once(_PROMTOOL, _unpack_promtool)


def _build_helm(folder: Path) -> Path:
    environ = {**os.environ, "GOBIN": str(folder), "GOFLAGS": ""}
    _run("go", "install", f"helm.sh/helm/v3/cmd/helm@{HELM_VERSION}", cwd=folder, env=environ)
    return folder / "helm"


def _unpack_promtool(folder: Path) -> Path:
    """Take it out of the package, which needs no rights and starts no server."""
    download = ("apt-get", "-qq", "download", "prometheus")
    try:
        _run(*download, cwd=folder)
    except subprocess.CalledProcessError:
        # A new machine has no lists of packages yet.
        _run("apt-get", "-qq", "update", cwd=folder)
        _run(*download, cwd=folder)
    (package,) = folder.glob("prometheus_*.deb")
    _run("dpkg-deb", "--extract", package.name, "content", cwd=folder)
    return folder / "content" / "usr" / "bin" / "promtool"


def _run(*command: str, cwd: Path, env: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, cwd=cwd, env=env, timeout=1_200, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    for make in (helm, promtool):
        with contextlib.suppress(Missing):
            make()
