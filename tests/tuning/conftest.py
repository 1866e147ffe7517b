"""A Ray cluster of two machines for the tests of searches, and a tiny recipe with a space."""

import os
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def address() -> str:
    """Of a cluster of two nodes with one CPU each; its workers find this checkout."""
    pytest.importorskip("ray")
    from zoo.tuning import tune  # noqa: F401  sets what must be set before ray is imported

    from ray.cluster_utils import Cluster  # isort: skip

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), before]))
    store = 80_000_000
    nodes = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": store, "include_dashboard": False},
    )
    nodes.add_node(num_cpus=1, object_store_memory=store)
    nodes.wait_for_nodes()
    yield nodes.address
    nodes.shutdown()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def recipe(tmp_path, tiny_data) -> Path:
    """A recipe that trains in a second, with a search section of choices."""
    content = {
        "family": "fashion_cnn",
        "task": "image_classification",
        "data": {"data_dir": str(tiny_data), "validation_size": 40},
        "model": {"stage_channels": [4, 4], "pool_position": "first"},
        "training": {"num_train_epochs": 2, "per_device_train_batch_size": 20, "learning_rate": 0.02, "use_cpu": True},
        "search": {
            "space": {
                "model.stage_channels": {"choice": [[4, 4], [6, 6]]},
                "training.learning_rate": {"loguniform": [0.001, 0.1]},
            },
            "trials": 3,
        },
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return path
