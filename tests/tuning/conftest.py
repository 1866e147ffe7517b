"""One Ray cluster of two machines for all tests, a tiny recipe, and trials without Ray."""

import contextlib
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def address() -> str:
    """Of a cluster of two nodes with one CPU each; its workers import this checkout."""
    pytest.importorskip("ray")
    import zoo.tuning  # noqa: F401  sets what Ray reads when it is imported

    from ray.cluster_utils import Cluster  # isort: skip

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), before]))
    store = 80_000_000
    head = {"num_cpus": 1, "object_store_memory": store, "include_dashboard": False}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    nodes.add_node(num_cpus=1, object_store_memory=store)
    nodes.wait_for_nodes()
    yield nodes.address
    nodes.shutdown()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="session")
def content(tiny_data) -> dict:
    """A recipe that trains in a second, with a search section."""
    return {
        "family": "fashion_cnn",
        "task": "image_classification",
        "data": {"data_dir": str(tiny_data), "validation_size": 40},
        "model": {"stage_channels": [8, 8], "pool_position": "first"},
        "training": {"num_train_epochs": 2, "per_device_train_batch_size": 20, "learning_rate": 0.02, "use_cpu": True},
        "search": {
            "space": {
                "model.stage_channels": {"choice": [[4, 4], [6, 6]]},
                "training.learning_rate": {"loguniform": [0.001, 0.1]},
            },
            "trials": 3,
        },
    }


@pytest.fixture
def recipe(tmp_path, content) -> Path:
    """The recipe's file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def in_this_process(monkeypatch) -> None:
    """Trials one after the other, without Ray and without plots of the runs."""
    ray = pytest.importorskip("ray")
    from zoo.commands import study
    from zoo.tuning import trial, tuner

    def run_trials(folder, work, resources, points, logger, data=None, **options):
        for number, point in enumerate(points):
            one = SimpleNamespace(trial_id=f"{folder.name}-{number}", config={"point": point}, last_result={})

            def report(result, checkpoint=None, one=one):
                count = one.last_result.get("training_iteration", 0) + 1
                one.last_result = {**result, "training_iteration": count, "config": one.config}
                logger.on_trial_result(0, [], one, one.last_result)

            monkeypatch.setattr(ray.tune, "report", report)
            logger.on_trial_start(0, [], one)
            trial.run_trial(one.config, work, trial.WorkerSetup(folder=os.getcwd()), data)
            logger.on_trial_complete(0, [], one)

    node = SimpleNamespace(get_node_id=lambda: "here")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: node)
    monkeypatch.setattr(tuner, "run_trials", run_trials)
    monkeypatch.setattr(tuner, "check_room", lambda *arguments: 1)
    monkeypatch.setattr(study, "connected", lambda arguments: contextlib.nullcontext((1.0, 0.0)))
