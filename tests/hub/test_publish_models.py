"""Whole models and data sets: from the command line to the test server and back."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest
from transformers import AutoFeatureExtractor, AutoProcessor, PreTrainedTokenizerFast

from tests.hub.conftest import quiet, run_command
from tests.hub_server import Fault
from zoo.commands.publish import main as publish_command
from zoo.commands.publish import publish_folder, remeasure
from zoo.commands.train import main as train
from zoo.hub import code
from zoo.hub.blocks import Card
from zoo.hub.options import PublishError, PublishOptions
from zoo.hub.publish import publish
from zoo.hub.stage import stage
from zoo.hub.verify import check_download
from zoo.pretrained import shipped_models
from zoo.record import RunRecord
from zoo.registry import FAMILIES, load_family

MODELS = shipped_models()
# One of each family.
EXAMPLES = {RunRecord.read(folder).recipe["family"]: name for name, folder in MODELS.items()}


def test_from_a_run_to_the_hub_and_back(hub, api, run, workers, shared_workers, tmp_path):
    stage(run, tmp_path / "card", "primer-zoo/tiny", "v1.0.0", workers)  # its examples have run
    (tmp_path / "card/trainer_state.json").write_text("{}")
    arguments = (tmp_path / "card", "--repo_id", "primer-zoo/tiny", "--tag", "v1.0.0")
    exit_code, printed = run_command(publish_command, *arguments, "--dry_run")
    assert exit_code == 0 and hub.requests == [], printed
    for text in ("measured again: accuracy", "loads without the library and gives the same answers", "left out:"):
        assert text in printed
    assert "modeling_fashion_cnn.py" in printed and "dry run: nothing was sent to primer-zoo/tiny" in printed
    exit_code, printed = run_command(publish_command, *arguments, "--no_measure")
    assert exit_code == 0 and "with the same checksums; FashionCNN" in printed, printed
    assert printed.strip().endswith(f"{hub.url}/primer-zoo/tiny/tree/v1.0.0")
    repo = hub.repo("primer-zoo/tiny")
    names = set(repo.files())
    assert {"README.md", "config.json", "configuration_fashion_cnn.py", "modeling_fashion_cnn.py"} <= names
    assert not any(name.endswith((".bin", ".pt")) for name in names) and "trainer_state.json" not in names
    card = repo.files()["README.md"].decode()
    assert 'from_pretrained("primer-zoo/tiny", revision="v1.0.0", trust_remote_code=True)' in card
    assert card.count("```text") == 3  # the output of each example
    exit_code, printed = run_command(publish_command, *arguments, "--no_measure")
    assert exit_code == 0 and f"unchanged, commit {repo.resolve('main')}" in printed, printed
    assert repo.history() == ["Publish with primer-zoo", "initial commit"]


def test_wrong_calls_are_refused_before_the_work(run, monkeypatch):
    for flags, message in (
        (("--max_samples", "0"), "--max_samples 0 must be at least 1; --no_measure measures nothing"),
        (("--pin", "--create_pr"), "--pin with --create_pr"),
        (("--pin", "--dataset"), "--dataset: --pin, --no_measure and --with are for models"),
        (("--tag", "main"), "--tag 'main' is the name of a branch"),
    ):
        exit_code, printed = run_command(publish_command, run, "--repo_id", "a/b", "--dry_run", *flags)
        assert exit_code == 2 and printed.startswith(f"error: {message}"), printed

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("zoo.commands.publish.publish_folder", interrupt)
    exit_code, printed = run_command(publish_command, run, "--repo_id", "a/b", "--dry_run")
    assert exit_code == 130 and "the files that it had, or all of the new ones" in printed


def test_what_does_not_belong_together_is_noticed_by_measuring(run, capsys):
    """The checksum is right, the metrics are not."""
    batch = remeasure(run, 60)
    assert len(batch["pixel_values"]) == 4 and "measured again: accuracy" in capsys.readouterr().out
    record = RunRecord.read(run)
    record.metrics["test"]["accuracy"], record.baselines["class_frequency"]["accuracy"] = 1.5, 1.4
    record.write(run)
    with pytest.raises(PublishError, match="weights, processor or code do not belong together"):
        remeasure(run, 60)


def test_push_to_hub_of_the_trainer_gives_the_same_card(hub, api, tiny_data, tiny_recipe, tmp_path, shared_workers):
    """`--push_to_hub` publishes the run as scripts/publish.py does, when it has been measured."""
    text = tiny_recipe.read_text().replace("title: Tiny", "title: Tiny\n  summary: What.\n  limits: [Small.]")
    tiny_recipe.write_text(text)
    flags = ("--push_to_hub", "--hub_model_id", "primer-zoo/pushed", "--hub_private_repo", "true")
    with hub.failing(Fault("403", matching="/commit/", times=None)):
        exit_code, printed = run_command(train, tiny_recipe, "--output_dir", tmp_path / "out", *flags)
    again = f"zoo publish {tmp_path / 'out'} --repo_id primer-zoo/pushed --private"
    assert exit_code == 1 and f"`{again}` publishes it" in printed, printed
    exit_code, printed = run_command(publish_command, *again.split()[2:], "--no_measure")
    assert exit_code == 0 and "with the same checksums" in printed, printed
    repo = hub.repo("primer-zoo/pushed")
    assert repo.private and len(repo.history()) == 2 and "training_args.bin" not in repo.files()
    stage(tmp_path / "out", tmp_path / "card", "primer-zoo/pushed")
    pushed = Card.parse(repo.files()["README.md"].decode())
    mine = Card.parse((tmp_path / "card/README.md").read_text())
    assert pushed.head == mine.head
    assert {**pushed.blocks, "usage": ""} == {**mine.blocks, "usage": ""}  # mine ran no examples
    assert "--push_to_hub" not in RunRecord.read(tmp_path / "out").command


def test_push_to_hub_is_refused_before_training(hub, api, tiny_recipe, tmp_path, monkeypatch):
    arguments = (tiny_recipe, "--output_dir", tmp_path / "out", "--push_to_hub")
    for flags, message in (
        (("--hub_model_id", "nobody/x"), "does not belong to an organisation 'nobody'"),
        (("--hub_model_id", "a b/c"), "--hub_model_id 'a b/c' is not a repository"),
        (("--hub_strategy", "every_save"), "--hub_strategy every_save"),
    ):
        exit_code, printed = run_command(train, *arguments, *flags)
        assert exit_code != 0 and message in printed, printed
    monkeypatch.delenv("HF_TOKEN")
    exit_code, printed = run_command(train, *arguments)
    assert exit_code == 1 and "no token" in printed
    assert not (tmp_path / "out").exists()


def test_models_push_themselves(hub, api, run):
    """transformers' own `push_to_hub` and `from_pretrained`, without this library's commands."""
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained(run)
    model.push_to_hub("primer-zoo/plain", commit_message="By transformers")
    AutoImageProcessor.from_pretrained(run).push_to_hub("primer-zoo/plain")
    again = AutoModelForImageClassification.from_pretrained("primer-zoo/plain")
    assert all((a == b).all() for a, b in zip(model.state_dict().values(), again.state_dict().values()))
    processors = [AutoImageProcessor.from_pretrained(where).to_dict() for where in (run, "primer-zoo/plain")]
    assert processors[0] == processors[1]


EXTRACTOR = """
from transformers import SequenceFeatureExtractor

class ToyExtractor(SequenceFeatureExtractor):
    model_input_names = ["input_features"]
"""
PROCESSOR = """
from transformers import ProcessorMixin

from .feature_extraction_toy import ToyExtractor

class ToyProcessor(ProcessorMixin):
    def __init__(self, feature_extractor, tokenizer):
        super().__init__(feature_extractor, tokenizer)
"""


@pytest.fixture
def toy_processor(run, tmp_path, monkeypatch):
    """The run's model with a ProcessorMixin: a feature extractor and a tokenizer."""
    (tmp_path / "toy").mkdir()
    for name, text in (("__init__", ""), ("feature_extraction_toy", EXTRACTOR), ("processing_toy", PROCESSOR)):
        (tmp_path / f"toy/{name}.py").write_text(text)
    spec = importlib.util.spec_from_file_location("toy", tmp_path / "toy/__init__.py")
    monkeypatch.setitem(sys.modules, "toy", importlib.util.module_from_spec(spec))
    monkeypatch.syspath_prepend(tmp_path)
    extractor = importlib.import_module("toy.feature_extraction_toy").ToyExtractor
    processor = importlib.import_module("toy.processing_toy").ToyProcessor
    tokenizer = PreTrainedTokenizerFast.from_pretrained(MODELS["rnn-translator-de-en"])
    (run / "preprocessor_config.json").unlink()
    processor(extractor(feature_size=80, sampling_rate=16000, padding_value=0.0), tokenizer).save_pretrained(run)
    yield {AutoFeatureExtractor: extractor, AutoProcessor: processor}
    for name in ("toy.feature_extraction_toy", "toy.processing_toy"):
        sys.modules.pop(name)


def test_processors_of_every_kind_travel(run, toy_processor, tmp_path, workers, monkeypatch):
    """An image processor does in the tests above, tokenizers below."""
    family = load_family(RunRecord.read(run).recipe["family"])
    names = ("config_class", "base_model_class", "model_classes", "other_model_classes")
    toy = SimpleNamespace(processors=toy_processor, **{name: getattr(family, name) for name in names})
    monkeypatch.setattr(code, "load_family", lambda name: toy)
    stage(run, tmp_path / "staged", code=True)
    answer = workers.without_library.ask(
        "load",
        folder=str(tmp_path / "staged"),
        auto_class="AutoModel",
        processors=["AutoFeatureExtractor", "AutoProcessor", "AutoTokenizer"],
        inputs=None,
        outputs=None,
    )
    assert answer["processors"][:2] == ["ToyExtractor", "ToyProcessor"] and answer["processors"][2]


def test_a_model_of_every_family_is_published_downloaded_and_verified(hub, api, tmp_path, workers):
    """Over loopback, with the code that runs without the library."""
    assert set(EXAMPLES) <= set(FAMILIES)
    for name in EXAMPLES.values():
        stage(MODELS[name], tmp_path / name, workers=None, code=True)
        published = publish(tmp_path / name, f"primer-zoo/{name}", PublishOptions(tag="v1.0.0"), quiet)
        assert published.changed and len(hub.repo(f"primer-zoo/{name}").history()) == 2
        assert "loads without the library" in check_download(published, None, workers.without_library)


@pytest.fixture
def dataset(tmp_path):
    """A folder with a data set."""
    from datasets import Dataset

    (tmp_path / "dataset").mkdir()
    Dataset.from_dict({"text": ["a", "b"]}).to_parquet(tmp_path / "dataset/train.parquet")
    head = "license: mit\nlanguage: en\nconfigs:\n- config_name: default\n  data_files: train.parquet\n"
    (tmp_path / "dataset/README.md").write_text(f"---\n{head}---\n\n# Descriptions\n")
    (tmp_path / "dataset/notes.txt").write_text("mine")
    return tmp_path / "dataset"


def test_a_data_set_is_published_downloaded_and_verified(hub, api, dataset):
    arguments = ("--dataset", dataset, "--repo_id", "primer-zoo/texts", "--tag", "v1.0.0")
    exit_code, printed = run_command(publish_command, *arguments, "--dry_run")
    assert exit_code == 0 and hub.requests == [] and "left out: notes.txt" in printed, printed
    exit_code, printed = run_command(publish_command, *arguments)
    assert exit_code == 0 and "2 files with the same checksums" in printed, printed
    assert printed.strip().endswith("/datasets/primer-zoo/texts/tree/v1.0.0")
    repo = hub.repo("primer-zoo/texts", "dataset")
    assert set(repo.files()) == {"README.md", "train.parquet"}
    assert repo.files()["train.parquet"] == (dataset / "train.parquet").read_bytes()
    # A new version replaces its files, and keeps what people wrote into the card.
    repo.put("README.md", repo.files()["README.md"] + b"\nThanks, says ada.\n")
    (dataset / "train.parquet").rename(dataset / "all.parquet")
    exit_code, printed = run_command(publish_command, *arguments[:-1], "v2.0.0")
    assert exit_code == 0 and set(repo.files()) == {"README.md", "all.parquet"}, printed
    assert b"Thanks, says ada." in repo.files()["README.md"]
    repo.put("README.md", repo.files()["README.md"] + b"\nMore.\n")
    card = (dataset / "README.md").read_text()
    (dataset / "README.md").write_text(card.replace("license: mit", "license: mit\npretty_name: Texts"))
    exit_code, printed = run_command(publish_command, *arguments[:-1], "v3.0.0")
    assert exit_code == 1 and "somebody edited the card" in printed


def test_a_data_set_is_checked(dataset):
    def refused(message):
        exit_code, printed = run_command(publish_command, "--dataset", dataset, "--repo_id", "a/b", "--dry_run")
        assert exit_code == 1 and message in printed, printed

    card = (dataset / "README.md").read_text()
    (dataset / "README.md").write_text(card + "hf_" + "a" * 34)
    refused("has a secret in it: README.md, line")
    (dataset / "README.md").write_text(card.replace("license: mit", "license: My own"))
    refused("write it like apache-2.0")
    (dataset / "README.md").write_text(card)
    (dataset / "bad.parquet").write_text("no")
    refused("bad.parquet is not a Parquet file")
    (dataset / "bad.parquet").unlink()
    (dataset / "link.parquet").symlink_to("/etc/passwd")
    refused("link.parquet is a link")
    (dataset / "link.parquet").unlink()
    (dataset / "README.md").unlink()
    refused("needs Parquet files")


@pytest.mark.slow
@pytest.mark.parametrize("name", list(MODELS))
def test_recorded_metrics_are_measured_again(name, real_data, capsys):
    """`scripts/evaluate.py FOLDER` gives what the record says, within its interval."""
    from zoo.training.evaluate import evaluate

    record = RunRecord.read(MODELS[name])
    metric, split = record.fit["metric"], "test" if "test" in record.metrics else "validation"
    recorded = record.metrics[split]
    value = evaluate([str(MODELS[name]), "--split", split]).metrics[split][metric]
    margin = 0.005 * abs(recorded[metric])  # where the record has no interval
    low = recorded.get(f"{metric}_low", recorded[metric] - margin)
    high = recorded.get(f"{metric}_high", recorded[metric] + margin)
    assert low <= value <= high, f"{name}: {split} {metric} is {value}, its record says {recorded[metric]}"


@pytest.mark.slow
@pytest.mark.parametrize("name", list(MODELS))
def test_every_shipped_model_passes_a_dry_run(name, real_data, shared_workers, capsys):
    """With its data: measured again on a sample, and compared with the code that needs no library."""
    publish_folder(MODELS[name], f"primer-zoo/{name}", PublishOptions(), dry_run=True)
    printed = capsys.readouterr().out
    assert "measured again" in printed and "gives the same answers" in printed and "dry run" in printed
