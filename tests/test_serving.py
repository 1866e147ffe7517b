"""docs/guides/serving.md: its code runs."""

import asyncio
import importlib.util
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs/guides/serving.md"
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), flags=re.S)


@pytest.fixture
def pictures(tmp_path, monkeypatch) -> None:
    """one.png and two.png, in the working directory."""
    monkeypatch.chdir(tmp_path)
    from examples.use_models import draw_trousers

    draw_trousers().save("one.png")
    draw_trousers().transpose(Image.Transpose.FLIP_LEFT_RIGHT).save("two.png")


def test_the_guide_shows_the_file_that_serves():
    code = (ROOT / "examples/serve_classifier.py").read_text()
    assert BLOCKS[0].strip() == code.partition('"""\n\n')[2].strip()


def test_requests_at_the_same_time_share_a_batch(pictures, monkeypatch):
    """The deployment's own class, without Ray's processes."""
    serve = pytest.importorskip("ray.serve", reason='needs pip install "primer-zoo[scale]"')
    from examples.serve_classifier import Classifier

    limits = types.SimpleNamespace(max_ongoing_requests=Classifier.max_ongoing_requests)
    monkeypatch.setattr(serve, "get_replica_context", lambda: types.SimpleNamespace(_deployment_config=limits))
    assert limits.max_ongoing_requests >= 32  # or no batch has 32 requests

    classifier, sizes = Classifier.func_or_class(), []
    answer = classifier.pipeline

    def counted(images, batch_size):
        sizes.append(batch_size)
        return answer(images, batch_size=batch_size)

    classifier.pipeline = counted

    def request(name):
        async def body():
            return Path(name).read_bytes()

        return types.SimpleNamespace(body=body)

    async def both():
        return await asyncio.gather(classifier(request("one.png")), classifier(request("two.png")))

    one, two = asyncio.run(both())
    assert sizes == [2] and one[0]["label"] == two[0]["label"] == "Trouser" and len(one) == 3


def test_datasets_map(pictures):
    names = {}
    exec(BLOCKS[1], names)  # noqa: S102
    assert names["rows"]["label"] == ["Trouser", "Trouser"]


def test_the_class_for_ray_data(pictures):
    pytest.importorskip("ray.data", reason='needs pip install "primer-zoo[scale]"')
    names = {}
    exec(BLOCKS[2].partition("rows = ")[0], names)  # noqa: S102
    assert list(names["Label"]()({"image": np.array(["one.png", "two.png"])})["label"]) == ["Trouser", "Trouser"]


def benchmark() -> types.ModuleType:
    path = ROOT / "scripts/benchmark/batch_inference.py"
    spec = importlib.util.spec_from_file_location("batch_inference", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["batch_inference"] = module
    spec.loader.exec_module(module)
    return module


def test_the_benchmarks_ways_give_the_same_answers(finished):
    module = benchmark()
    images = np.random.default_rng(0).integers(0, 255, (10, 1, 28, 28), dtype=np.uint8)
    loop, mapped = (way(images, str(finished / "run"), 4)() for way in (module.plain_loop, module.datasets_map))
    assert loop.shape == (10,) and (loop == mapped).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Ray: its own deprecations, files that it leaves open
def test_ray_data_and_ray_serve_with_real_workers(pictures):
    """Ray Data labels two pictures, Ray Serve answers a request."""
    pytest.importorskip("ray.serve", reason='needs pip install "primer-zoo[scale]"')
    import urllib.request

    import pandas
    from ray import serve

    from examples.serve_classifier import app

    exec(BLOCKS[2], {})  # noqa: S102
    assert list(pandas.read_parquet("labels")["label"]) == ["Trouser", "Trouser"]
    serve.run(app)
    try:
        with urllib.request.urlopen("http://127.0.0.1:8000", data=Path("one.png").read_bytes()) as answer:
            assert b"Trouser" in answer.read()
    finally:
        serve.shutdown()
