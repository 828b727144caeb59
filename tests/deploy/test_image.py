"""The image's steps, carried out without Docker, and what a container may not do."""

import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.deploy.dockerfile import Step, steps
from tests.deploy.tools import ROOT

from eventbus_gateway import __version__

FILE = ROOT / "Dockerfile"
BUILT = "/opt/eventbus"
STEPS = list(steps(FILE))
BUILD = [step for step in STEPS if step.stage == 0]
FINAL = [step for step in STEPS if step.stage == 1]


class Built(NamedTuple):
    """What the build leaves behind.

    Args:
        root: stands for ``/`` of the image.
        environ: the environment that the image sets, and nothing else.
    """

    root: Path
    environ: dict[str, str]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run something as the container would."""
        program = shutil.which(command[0], path=self.environ["PATH"])
        assert program is not None, command[0]
        return _output(program, *command[1:], env=self.environ, cwd=self.root)


def _output(
    *command: str, env: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, env=env, cwd=cwd)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The first stage, carried out in a folder with an interpreter of its own, and what the second takes from it."""
    root = tmp_path_factory.mktemp("image")
    base = root / "base"
    subprocess.run([sys.executable, "-m", "venv", str(base)], check=True, timeout=120)
    environ = {"PATH": f"{base}/bin:/usr/bin:/bin", "HOME": os.environ.get("HOME", "/"), **_network()}
    folder = root
    for step in BUILD:
        if step.name == "WORKDIR":
            folder = root / step.text.lstrip("/")
            folder.mkdir(parents=True)
        elif step.name == "COPY":
            *sources, target = step.text.split()
            _copy(sources, folder / target)
        elif step.name == "RUN":
            command = step.text.replace(BUILT, f"{root}{BUILT}")
            done = subprocess.run(
                ["/bin/sh", "-c", command],
                capture_output=True,
                text=True,
                timeout=280,
                check=False,
                env=environ,
                cwd=folder,
            )
            assert done.returncode == 0, done.stdout + done.stderr
    path = _environment(FINAL)["PATH"].replace("$PATH", "/usr/bin:/bin").replace(BUILT, f"{root}{BUILT}")
    return Built(root, {**_environment(FINAL), "PATH": path})


def _network() -> Mapping[str, str]:
    """How this machine reaches packages; the image's builder has its own way."""
    return {
        name: value
        for name, value in os.environ.items()
        if re.match(r"(?i)pip_|.*_proxy$|ssl_cert|requests_ca", name)
    }


def _copy(sources: list[str], target: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    for source in sources:
        assert _gets_in(source), f"{source} is kept out by .dockerignore"
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=ignored)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, target)


def _gets_in(path: str) -> bool:
    """Whether .dockerignore lets it into the build; the last rule that fits holds."""
    let_in = True
    for rule in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = rule.removeprefix("!")
        if any(fnmatch.fnmatch(part, pattern) for part in (path, path.split("/", 1)[0])):
            let_in = rule.startswith("!")
    return let_in


def _environment(of: list[Step]) -> dict[str, str]:
    return dict(word.split("=", 1) for step in of if step.name == "ENV" for word in step.text.split())


def _one(name: str, of: list[Step] = FINAL) -> Step:
    (found,) = [step for step in of if step.name == name]
    return found


def test_the_linter_finds_nothing() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = _output(str(linter), str(FILE))
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_base_image_is_of_an_exact_version_and_slim() -> None:
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", FILE.read_text(), re.MULTILINE)
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", base)
    assert [step.text.split()[0] for step in STEPS if step.name == "FROM"] == ["${PYTHON_IMAGE}"] * 2


def test_what_runs_is_no_root_and_is_started_without_a_shell() -> None:
    user, group = _one("USER").text.split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert _one("ENTRYPOINT").argv == ["eventbus"]
    assert _one("CMD").argv == ["serve"]
    assert [step.name for step in FINAL].index("USER") > max(
        at for at, step in enumerate(FINAL) if step.name == "RUN"
    )


def test_the_final_stage_takes_what_was_built_and_nothing_to_build_with() -> None:
    assert [step.text for step in FINAL if step.name == "COPY"] == [f"--from=build {BUILT} {BUILT}"]
    assert not [step for step in STEPS if step.name == "ADD" or "apt" in step.text.split()]
    (removal,) = [step.text for step in FINAL if step.name == "RUN"]
    assert removal == "python -m pip uninstall --yes setuptools wheel pip"


def test_everything_that_is_installed_has_a_hash() -> None:
    installs = [part for step in BUILD if step.name == "RUN" for part in step.text.split("&&") if " install " in part]
    assert len(installs) == 3
    for part in installs:
        assert ("--require-hashes" in part) != ("--no-deps --no-index" in part)
    for lock in ("runtime", "aws", "telemetry", "build"):
        text = (ROOT / "requirements" / f"{lock}.lock").read_text()
        assert re.findall(r"^[a-z]\S+==", text, re.MULTILINE)
        for pinned in re.split(r"\n(?=[a-z])", text):
            assert "--hash=sha256:" in pinned, pinned


def test_the_locks_hold_the_extras_and_the_build_system_that_the_project_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needs = {**project["project"]["optional-dependencies"], "build": project["build-system"]["requires"]}
    for lock, names in needs.items():
        text = (ROOT / "requirements" / f"{lock}.lock").read_text()
        for name in names:
            assert re.search(rf"^{re.escape(name)}==", text, re.MULTILINE), name


def test_only_what_is_built_from_gets_into_the_build() -> None:
    assert not any(map(_gets_in, (".git", ".venv", "tests", "build", "helm", "docs", ".env", "examples")))


def test_the_build_gives_a_gateway_that_starts(built: Built) -> None:
    done = built.run("eventbus", "--version")
    assert done.returncode == 0, done.stderr
    assert __version__ in done.stdout


def test_the_image_can_do_what_amazon_asks_for(built: Built) -> None:
    config = built.root / "msk.toml"
    config.write_text(
        '[kafka]\nbootstrap_servers = "b-1.e.a1.c2.kafka.us-east-1.amazonaws.com:9098"\n'
        'security_protocol = "SASL_SSL"\nsasl_mechanism = "AWS_MSK_IAM"\n'
        '[registry]\nkind = "glue"\naws_region = "us-east-1"\n[auth]\nmode = "anonymous"\n'
    )
    done = built.run("eventbus", "check-config", "--config", str(config))
    assert done.returncode == 0, done.stderr
    python = f"{built.root}{BUILT}/bin/python"
    assert built.run(python, "-c", "import botocore.session, eventbus_gateway.kafka.msk_iam").returncode == 0


def test_nothing_in_the_image_installs_packages_or_builds(built: Built) -> None:
    python = f"{built.root}{BUILT}/bin/python"
    for name in ("pip", "setuptools", "hatchling", "pytest"):
        assert built.run(python, "-c", f"import {name}").returncode == 1, name
    # The base image's own tools go with the last step.
    (removal,) = [step.text.split() for step in FINAL if step.name == "RUN"]
    base = Built(built.root, {"PATH": f"{built.root}/base/bin:/usr/bin:/bin"})
    assert base.run(*removal).returncode == 0
    assert base.run("python", "-c", "import pip").returncode == 1


def test_modules_are_compiled_so_that_nothing_is_written_where_nothing_can_be(built: Built) -> None:
    packages = next((built.root / BUILT.lstrip("/") / "lib").glob("python3.*/site-packages"))
    package = packages / "eventbus_gateway"
    assert {file.stem for file in package.glob("*.py")} == {
        file.name.split(".")[0] for file in (package / "__pycache__").glob("*.pyc")
    }
    assert built.environ["PYTHONDONTWRITEBYTECODE"] == "1"
