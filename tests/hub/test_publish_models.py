"""Whole models: a run from the command line to the test server and back, the Trainer's flag, every shipped model."""

import contextlib
import dataclasses
import io
import time

import pytest

from tests.hub.conftest import TOKEN, accounts
from tests.hub_server import Fault, HubServer, client_of
from zoo.commands.publish import main as publish_command
from zoo.commands.publish import publish_folder
from zoo.commands.train import main as train
from zoo.hub import clean
from zoo.hub.blocks import Card
from zoo.hub.clean import Workers
from zoo.hub.publish import Wish, publish
from zoo.hub.stage import stage
from zoo.hub.verify import check_download, check_without_library
from zoo.pretrained import shipped_models
from zoo.record import RunRecord
from zoo.training.sample import measure_sample


@pytest.fixture(scope="module")
def workers():
    """Two clean processes for the whole module: each imports torch and transformers once."""
    with Workers() as shared:
        yield shared


@pytest.fixture
def shared_workers(workers, monkeypatch):
    """Commands use the module's processes in the place of their own."""
    monkeypatch.setattr(clean, "Workers", lambda: contextlib.nullcontext(workers))


def command(main, *arguments) -> tuple[int, str]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = main([str(argument) for argument in arguments])
    return code, printed.getvalue()


def test_from_a_run_to_the_hub_and_back(hub, api, run, shared_workers):
    arguments = (run, "--repo_id", "primer-zoo/tiny", "--tag", "v1.0.0")
    code, printed = command(publish_command, *arguments, "--dry_run")
    assert code == 0 and hub.requests == [], printed
    for text in ("measured again: accuracy", "loads without the library and gives the same answers", "stays here:"):
        assert text in printed
    assert "modeling_fashion_cnn.py" in printed and "dry run: nothing was sent to primer-zoo/tiny" in printed
    code, printed = command(publish_command, *arguments)
    assert code == 0 and "with the same checksums, the same answers" in printed, printed
    assert printed.strip().endswith(f"{hub.url}/primer-zoo/tiny/tree/v1.0.0")
    repo = hub.repo("primer-zoo/tiny")
    assert len(repo.history("main")) == 2
    names = set(repo.files())
    assert {"README.md", "config.json", "configuration_fashion_cnn.py", "modeling_fashion_cnn.py"} <= names
    assert not any(name.endswith((".bin", ".pt")) for name in names) and "trainer_state.json" not in names
    card = repo.read("main", "README.md").decode()
    assert 'from_pretrained("primer-zoo/tiny", revision="v1.0.0", trust_remote_code=True)' in card
    assert card.count("```text") == 3  # each example stands there with what it printed
    commit = repo.resolve("main")
    code, printed = command(publish_command, *arguments)
    assert code == 0 and f"unchanged, commit {commit}" in printed, printed
    assert repo.resolve("main") == commit


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--max_samples", "0"), "--max_samples 0 must be at least 1; --no_measure measures nothing"),
        (("--pin", "--create_pr"), "--pin with --create_pr"),
        (("--tag", "main"), "--tag 'main' is the name of a branch"),
    ],
)
def test_wrong_calls_are_told_before_the_work(run, flags, message):
    code, printed = command(publish_command, run, "--repo_id", "a/b", "--dry_run", *flags)
    assert code == 2 and printed.startswith(f"error: {message}"), printed


def test_an_interruption_does_not_say_that_nothing_was_sent(run, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("zoo.commands.publish.publish_folder", interrupt)
    code, printed = command(publish_command, run, "--repo_id", "a/b", "--dry_run")
    assert code == 130 and "the files that it held, or all of the new ones" in printed


def test_what_does_not_belong_together_is_noticed_by_measuring(run, shared_workers):
    """The checksum is right, the figures are not."""
    sample = measure_sample(run)
    assert sample.plausible and sample.n == 60 and sample.chance > 0.05
    cases = ((0.9, 0.95, 0.1, True), (0.5, 0.95, 0.1, False), (0.1, 0.1, 0.1, True))
    for value, recorded, baseline, plausible in cases:
        found = dataclasses.replace(sample, value=value, recorded=recorded, baseline=baseline, chance=0.06)
        assert found.plausible == plausible
    record = RunRecord.read(run)
    record.metrics["test"]["accuracy"], record.baselines["class_frequency"]["accuracy"] = 1.5, 1.4
    record.write(run)
    code, printed = command(publish_command, run, "--repo_id", "a/b", "--dry_run")
    assert code == 1 and "weights, processor or code do not belong together" in printed, printed


def test_push_to_hub_of_the_trainer_gives_the_same_card(hub, api, tiny_data, tiny_recipe, tmp_path, shared_workers):
    """`--push_to_hub` publishes the run as scripts/publish.py does, when it has been measured."""
    text = tiny_recipe.read_text().replace("title: Tiny", "title: Tiny\n  summary: What.\n  limits: [Small.]")
    tiny_recipe.write_text(text)
    flags = ("--push_to_hub", "--hub_model_id", "primer-zoo/pushed", "--hub_private_repo", "true")
    with hub.failing(Fault("403", matching="/commit/", times=None)):
        code, printed = command(train, tiny_recipe, "--output_dir", tmp_path / "out", *flags)
    again = f"zoo publish {tmp_path / 'out'} --repo_id primer-zoo/pushed --private"
    assert code == 1 and f"the run is finished and whole: `{again}` publishes it" in printed, printed
    code, printed = command(publish_command, *again.split()[2:])
    assert code == 0 and "with the same checksums" in printed, printed
    repo = hub.repo("primer-zoo/pushed")
    assert repo.settings["private"] and len(repo.history("main")) == 2
    assert "training_args.bin" not in repo.files()
    stage(tmp_path / "out", tmp_path / "card", "primer-zoo/pushed")
    pushed = Card.parse(repo.read("main", "README.md").decode())
    mine = Card.parse((tmp_path / "card/README.md").read_text())
    assert pushed.head == mine.head
    assert {**pushed.blocks, "usage": ""} == {**mine.blocks, "usage": ""}  # mine ran no examples
    assert "--push_to_hub" not in RunRecord.read(tmp_path / "out").command


def test_push_to_hub_is_refused_before_training(hub, api, tiny_recipe, tmp_path, monkeypatch):
    arguments = (tiny_recipe, "--output_dir", tmp_path / "out", "--push_to_hub")
    for flags, message in (
        (("--hub_model_id", "nobody/x"), "there is no organisation 'nobody'"),
        (("--hub_model_id", "a b/c"), "--hub_model_id 'a b/c' is no repository"),
        (("--hub_strategy", "every_save"), "a run is published whole"),
    ):
        code, printed = command(train, *arguments, *flags)
        assert code != 0 and message in printed, printed
    monkeypatch.delenv("HF_TOKEN")
    code, printed = command(train, *arguments)
    assert code == 1 and "no token" in printed
    assert not (tmp_path / "out").exists()


def test_models_push_themselves(hub, api, run):
    """transformers' own `push_to_hub` and `from_pretrained` over the server, without this library's commands."""
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained(run)
    model.push_to_hub("primer-zoo/plain", commit_message="By transformers")
    AutoImageProcessor.from_pretrained(run).push_to_hub("primer-zoo/plain")
    again = AutoModelForImageClassification.from_pretrained("primer-zoo/plain")
    assert all((a == b).all() for a, b in zip(model.state_dict().values(), again.state_dict().values()))
    processors = [AutoImageProcessor.from_pretrained(where).to_dict() for where in (run, "primer-zoo/plain")]
    assert processors[0] == processors[1]


def test_every_shipped_model_is_published_downloaded_and_verified(tmp_path, workers):
    """Over loopback, with the code that runs without the library; the figure of docs/publishing.md."""
    began = time.perf_counter()
    with HubServer(tmp_path / "server") as server, client_of(accounts(server), tmp_path / "home", TOKEN):
        for name, folder in shipped_models().items():
            staged = tmp_path / name
            stage(folder, staged, workers=workers, code=True)
            assert "loads without the library" in check_without_library(staged, None, workers.without_library)
            published = publish(staged, f"primer-zoo/{name}", Wish(tag="v1.0.0"), say=lambda text: None)
            assert published.changed and len(server.repo(f"primer-zoo/{name}").history("main")) == 2
            assert "it loads" in check_download(published, staged, None, workers.without_library)
            assert not publish(staged, f"primer-zoo/{name}", Wish(tag="v1.0.0"), say=lambda text: None).changed
    seconds = time.perf_counter() - began
    print(f"{len(shipped_models())} models published, downloaded and verified in {seconds:.1f} s")


@pytest.mark.slow
@pytest.mark.parametrize("name", list(shipped_models()))
def test_recorded_figures_are_measured_again(name, real_data, capsys):
    """`scripts/evaluate.py FOLDER` gives what the record says, within the interval that it states."""
    from zoo.training.evaluate import evaluate

    folder = shipped_models()[name]
    record = RunRecord.read(folder)
    metric, split = record.fit["metric"], "test" if "test" in record.metrics else "validation"
    recorded = record.metrics[split]
    value = evaluate([str(folder), "--split", split]).metrics[split][metric]
    margin = 0.005 * abs(recorded[metric])  # where the record states no interval
    low = recorded.get(f"{metric}_low", recorded[metric] - margin)
    high = recorded.get(f"{metric}_high", recorded[metric] + margin)
    assert low <= value <= high, f"{name}: {split} {metric} is {value}, its record says {recorded[metric]}"


@pytest.mark.slow
@pytest.mark.parametrize("name", list(shipped_models()))
def test_every_shipped_model_passes_a_dry_run(name, real_data, shared_workers, capsys):
    """With its data: measured again on a sample, and compared with the code that needs no library."""
    publish_folder(shipped_models()[name], f"primer-zoo/{name}", Wish(), dry_run=True)
    printed = capsys.readouterr().out
    assert "measured again" in printed and "gives the same answers" in printed and "dry run" in printed
