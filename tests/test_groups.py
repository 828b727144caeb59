"""What shares a process when several run the tests."""

from pathlib import Path

from tests.small_suite import run

NOTES = """
import os
from pathlib import Path
import pytest
@pytest.fixture
def cluster3(): pass
@pytest.mark.parametrize("number", range(20))
def test_that_notes_its_process(number{needs}):
    with Path("noted-{name}").open("a") as notes:
        print(os.environ["PYTEST_XDIST_WORKER"], file=notes)
"""


def noted(folder: Path, *names: str) -> set[str]:
    """The processes that ran the tests of these files."""
    return {process for name in names for process in (folder / f"noted-{name}").read_text().split()}


def test_a_file_the_end_to_end_tests_and_those_of_a_cluster_have_one_process_each(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "end_to_end" / "deep").mkdir(parents=True)
    for file, needs in {
        "test_x.py": "",
        "test_y.py": ", cluster3",
        "test_z.py": ", cluster3",
        "end_to_end/test_e.py": "",
        "end_to_end/deep/test_d.py": "",
        "end_to_end/test_c.py": ", cluster3",
    }.items():
        name = Path(file).stem.removeprefix("test_")
        (tmp_path / file).write_text(NOTES.format(name=name, needs=needs))
    spread = ("-n", "3", "--dist", "loadgroup", "--no-loadscope-reorder")
    done = run(tmp_path, "pytest", *spread)
    assert done.returncode == 0, done.stdout
    groups = [noted(tmp_path, "e", "d"), noted(tmp_path, "y", "z", "c"), noted(tmp_path, "x")]
    assert [len(processes) for processes in groups] == [1, 1, 1]
    assert len(set.union(*groups)) == 3, "the longest begin beside all others"
