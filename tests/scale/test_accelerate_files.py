"""The files of `accelerate launch --config_file`."""

import re
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "scripts/accelerate").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_read_and_says_whether_it_was_tested(path):
    assert load_config_from_file(str(path)).num_machines == 1
    (mark,) = re.findall(r"^# ((?:Tested \d{4}-\d\d-\d\d|Untested).*)", path.read_text(), flags=re.M)
    for test in re.findall(r"tests/\S+", mark):
        assert (ROOT / test).exists(), f"{path.name} names {test}"
