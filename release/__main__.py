"""``python -m release``: build what is published of this version, look at it, and say what is left to do."""

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path
from subprocess import CalledProcessError, run

from openapi.build import SOURCE as CONTRACT

from eventbus_gateway import __version__
from release import changelog
from release.distributions import ROOT, build, faults, rebuilt
from release.readiness import missing

OUT = ROOT / "dist"


def main() -> int:
    """Build and look; the exit status."""
    shutil.rmtree(OUT, ignore_errors=True)
    try:
        distributions = build(ROOT, OUT)
        with tempfile.TemporaryDirectory() as folder:
            same = rebuilt(distributions.source, Path(folder)).read_bytes() == distributions.wheel.read_bytes()
    except CalledProcessError as error:
        sys.stderr.write(f"It cannot be built:\n{error.stderr}")
        return 1
    wrong = [*faults(distributions), *([] if same else ["the source distribution builds another wheel"])]
    for path in distributions:
        sys.stdout.write(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(ROOT)}\n")
    released = CONTRACT.with_name("released.yaml")
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    before = released.read_bytes() if released.exists() else b""
    wrong += missing(__version__, text, CONTRACT.read_bytes(), before, _git("status", "--short"))
    for sentence in wrong:
        sys.stdout.write(f"not ready: {sentence}\n")
    if wrong:
        return 1
    (section,) = [one for one in changelog.sections(text) if one.version == __version__]
    command = f"git tag --annotate v{__version__} {_git('rev-parse', 'HEAD')}"
    sys.stdout.write(f"\nTag it, with this as what the release says:\n\n  {command}\n\n{section.text}\n")
    return 0


def _git(*arguments: str) -> str:
    return run(["git", *arguments], check=True, cwd=ROOT, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
