"""Studies on a Ray cluster of two machines, both of them here."""

import json
import os
import signal
from types import SimpleNamespace

import pytest
import yaml

ray = pytest.importorskip("ray")

from zoo.commands.study import main  # noqa: E402
from zoo.training.recipe import UsageError  # noqa: E402
from zoo.tuning import cluster_workers  # noqa: E402
from zoo.tuning.cluster import cluster  # noqa: E402
from zoo.tuning.cluster_workers import ClusterPool  # noqa: E402
from zoo.tuning.workers import work_off  # noqa: E402


class Dying(cluster_workers.Server):
    """Does as its job is called."""

    def do(self, job):
        if job.name == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        self.said.put(("done", ""))


def test_a_study_over_two_machines(address, recipe, tmp_path, monkeypatch, capsys):
    """Runs of both machines are in one table, failures with their reasons; relative paths are the caller's."""
    study = {
        "title": "Two machines",
        "question": "Do they train?",
        "base": recipe.name,
        "seeds": [1],
        "variants": {
            "6-filters": {"model": {"stage_channels": [6, 6]}},
            "impossible": {"model": {"stage_channels": [8] * 9}},
        },
    }
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    assert main(["two.yaml", "--address", address, "--output_dir", "out", "--test"]) == 0
    out = capsys.readouterr().out
    assert "3 trainings, 2 at a time (0 are there already)" in out and "6-filters, seed 1: epoch 2 of 2" in out
    rows = {row["name"]: row for row in json.loads((tmp_path / "out/study.json").read_text())["rows"]}
    assert all(0 <= rows[name]["runs"][0]["test"] <= 1 for name in ("base", "6-filters"))
    assert "would shrink its" in rows["impossible"]["failures"][0]["reason"]
    assert "Traceback" in next((tmp_path / "out/logs").glob("impossible-*")).read_text()
    assert "--address" not in (tmp_path / "out/study.md").read_text()


def test_a_worker_that_dies_fails_its_run_alone(address, monkeypatch):
    """As when a machine is taken away."""
    monkeypatch.setattr(cluster_workers, "Server", Dying)
    jobs, heard = [SimpleNamespace(name=name) for name in ("kill", "well")], []
    with cluster(address):
        pool = ClusterPool(1)
        work_off(jobs, pool, lambda job, kind, content: heard.append((job.name, kind, content)), lambda: True)
    assert [(name, kind) for name, kind, _ in heard if kind != "start"] == [("kill", "failed"), ("well", "done")]
    assert "the worker died" in heard[1][2]


def test_a_machine_with_other_versions_is_refused(address, monkeypatch):
    with cluster(address):
        pool = ClusterPool(1)
        pool.versions["torch"] = "0.4"
        with pytest.raises(UsageError, match=r"a machine of the cluster has torch .*, this one 0\.4"):
            pool.new().start(SimpleNamespace(name="never"))


def test_an_address_where_nothing_answers_is_told(recipe, tmp_path, capsys):
    (tmp_path / "one.yaml").write_text(
        yaml.safe_dump(
            {"title": "t", "base": recipe.name, "seeds": [1], "variants": {"a": {"data": {"random_shift": 1}}}}
        )
    )
    flags = ["--address", "127.0.0.1:1", "--output_dir", str(tmp_path / "out")]
    assert main([str(tmp_path / "one.yaml"), *flags]) == 2
    assert "--address 127.0.0.1:1: no Ray cluster answers there" in capsys.readouterr().err
    assert main([str(tmp_path / "one.yaml"), "--cpus_per_run", "0"]) == 2
    assert "--cpus_per_run above 0" in capsys.readouterr().err
