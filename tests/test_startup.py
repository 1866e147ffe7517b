"""Help, lists and usage errors need no model: they answer without importing torch."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "datasets", "pandas", "ray", "matplotlib", "sklearn"}


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--help"], "usage: zoo"),
        (["list"], "fashion-cnn"),
        (["train"], "name a recipe first"),
        (["train", "fashion-cn"], "did you mean 'fashion-cnn'"),
        (["train", "--help"], "usage: zoo train"),
        (["evaluate", "--help"], "usage: zoo evaluate"),
        (["evaluate", "fashion-cn"], "did you mean 'fashion-cnn'"),
        (["tune", "--help"], "usage: zoo tune"),
        (["tune", "fashion-cn"], "did you mean 'fashion-cnn'"),
        (["study", "--help"], "usage: zoo study"),
        (["study", "nothing"], "no study 'nothing'"),
        (["card", "--help"], "usage: zoo card"),
        (["publish", "--help"], "usage: zoo publish"),
        (["demo", "--help"], "usage: zoo demo"),
        (["publish", "fashion-cnn"], "--repo_id"),
    ],
    ids=" ".join,
)
def test_the_command_line_answers_without_torch(argv, expected):
    code = (
        "import sys\nfrom zoo_cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\nprint('MODULES', *sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, check=True)
    answer, _, modules = run.stdout.partition("MODULES")
    assert expected in answer + run.stderr
    assert not HEAVY & set(modules.split())
