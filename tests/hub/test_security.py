"""Refused: pickles, files elsewhere, damaged weights, strangers' code; tokens are never shown."""

import ast
import json
import logging
import pickle
import random
import shutil
import string
import sys
from pathlib import Path

import pytest

import zoo
from tests.hub.conftest import REPO, TOKEN, quiet, run_command
from tests.hub_server import Fault
from tests.hub_server.state import Token
from zoo.commands.card import main as card_command
from zoo.commands.evaluate import main as evaluate
from zoo.commands.publish import main as publish_command
from zoo.commands.publish import make_parser
from zoo.commands.train import main as train
from zoo.hub.clean import CleanProcess
from zoo.hub.options import PublishError
from zoo.hub.publish import publish
from zoo.hub.stage import left_out, stage
from zoo.hub.tokens import HIDDEN, SECRETS, find_home_paths, find_secrets, scrub
from zoo.pretrained import check_weights
from zoo.record import sha256

ROOT = Path(__file__).parents[2]


class Trap:
    """Its pickle writes a file when it is loaded."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def spring(folder: Path, trap: Path, keep_safetensors: bool) -> None:
    """Put a pickle that writes `trap` beside, or in the place of, the weights."""
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(trap)))
    if not keep_safetensors:
        (folder / "model.safetensors").unlink()


# Weights


def test_pickles_are_refused_even_when_they_are_the_only_weights(run, tmp_path, tiny_recipe):
    trap = tmp_path / "sprung"
    spring(run, trap, keep_safetensors=False)
    with pytest.raises(ValueError, match=r"as a pickle only \(pytorch_model.bin\)"):
        stage(run, tmp_path / "card")
    for command in (
        (evaluate, run),
        (publish_command, run, "--repo_id", "a/b", "--dry_run"),
        (train, tiny_recipe, "--model_name_or_path", run, "--output_dir", tmp_path / "out"),
    ):
        code, printed = run_command(*command)
        assert code != 0 and "as a pickle only" in printed, printed
    assert not trap.exists()


def test_pickles_beside_the_weights_are_neither_loaded_nor_published(run, tmp_path):
    trap = tmp_path / "sprung"
    spring(run, trap, keep_safetensors=True)
    (run / "optimizer.pt").write_bytes(b"state")
    staged = [file.name for file in stage(run, tmp_path / "card")]
    assert not {"pytorch_model.bin", "optimizer.pt"} & set(staged)
    assert {"pytorch_model.bin (a pickle)", "optimizer.pt (a pickle)", "trainer_state.json"} <= set(left_out(run))
    assert run_command(evaluate, run)[0] == 0 and not trap.exists()


def test_a_shard_index_that_names_files_elsewhere_is_refused(run, tmp_path):
    shutil.move(run / "model.safetensors", tmp_path / "outside.safetensors")
    for name in ("/etc/x.safetensors", "a/b.safetensors", "x.bin", "../outside.safetensors"):
        (run / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": name}}))
        for attempt in (check_weights, lambda folder: stage(folder, tmp_path / "card")):
            with pytest.raises(ValueError, match="a shard is a .safetensors file in the same folder"):
                attempt(run)
    code, printed = run_command(evaluate, run)
    assert code != 0 and "a shard is a .safetensors file in the same folder" in printed


def test_damaged_indexes_are_refused(tmp_path):
    for text in ("{", "[]", '{"weight_map": 3}', "{}"):
        (tmp_path / "model.safetensors.index.json").write_text(text)
        with pytest.raises(ValueError, match="model.safetensors.index.json is "):
            check_weights(tmp_path)


def test_shards_and_links_are_not_published(run, tmp_path):
    shutil.move(run / "model.safetensors", run / "a.safetensors")
    (run / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": "a.safetensors"}}))
    assert check_weights(run).name == "model.safetensors.index.json"
    with pytest.raises(ValueError, match="in shards: save them in one file"):
        stage(run, tmp_path / "card")
    shutil.move(run / "a.safetensors", run / "model.safetensors")
    shutil.move(run / "pictures", tmp_path / "pictures")
    for name, target in (
        ("pictures", tmp_path / "pictures"),
        ("tokenizer.json", tmp_path / "nowhere"),
        ("README.md", tmp_path / "run/config.json"),
        ("special_tokens_map.json", "/etc/passwd"),
    ):
        (run / name).symlink_to(target)
        with pytest.raises(ValueError, match=f"{name} is a link: put the (file|folder) itself there"):
            stage(run, tmp_path / "card")
        (run / name).unlink()
    stage(run, tmp_path / "card")


def test_damaged_weights_of_the_same_size_are_refused_with_both_checksums(run, tmp_path, monkeypatch):
    """A shipped model, and one from the Hub, as `zoo.pretrained` finds them."""
    shipped = tmp_path / "shipped/tiny"
    stage(run, shipped)
    monkeypatch.setattr(sys.modules["zoo.pretrained"], "shipped_models", lambda: {"tiny": shipped})
    assert zoo.pretrained("tiny") == str(shipped)
    weights = shipped / "model.safetensors"
    right = sha256(weights)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match=f"has sha256 {sha256(weights)}, but results.json says {right}"):
        zoo.pretrained("tiny")


def test_a_model_of_the_hub_is_pinned_and_verified(hub, api, small, tmp_path, monkeypatch):
    module = sys.modules["zoo.pretrained"]
    published = publish(small, REPO, say=quiet)
    files = {name: published.files[name] for name in ("config.json", "model.safetensors")}
    entry = {"repo_id": REPO, "commit": published.commit, "files": files}
    monkeypatch.setattr(module, "published_models", lambda: {"small": entry})
    folder = Path(zoo.pretrained("small"))
    assert folder.name == published.commit and not (folder / "modeling_small.py").exists()
    # What comes later on main is not taken.
    (small / "model.safetensors").write_bytes(b"later")
    publish(small, REPO, say=quiet)
    assert zoo.pretrained("small") == str(folder)
    blob = (folder / "model.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"\x00")
    with pytest.raises(
        ValueError, match=f"has sha256 [0-9a-f]{{64}}, but published.json says {files['model.safetensors']}"
    ):
        zoo.pretrained("small")


# Code


def test_strangers_code_is_not_run(run, tmp_path, tiny_recipe):
    """A folder whose config names code beside it, of a type that the library does not know."""
    trap = tmp_path / "sprung"
    (run / "modeling_evil.py").write_text(f"open({str(trap)!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    config = json.loads((run / "config.json").read_text())
    names = {"AutoConfig": "modeling_evil.Config", "AutoModelForImageClassification": "modeling_evil.Model"}
    for model_type in (config["model_type"], "evil"):
        (run / "config.json").write_text(json.dumps({**config, "model_type": model_type, "auto_map": names}))
        code, printed = run_command(evaluate, run, "--split", "validation")
        assert (code == 0) == (model_type != "evil"), printed
    code, printed = run_command(train, tiny_recipe, "--model_name_or_path", run, "--output_dir", tmp_path / "out")
    assert code != 0, printed
    assert not trap.exists()


def test_code_is_trusted_in_one_place_only():
    """In the process that loads what was just uploaded, after its checksums were compared."""
    files = {path: path.read_text() for path in (ROOT / "zoo").rglob("*.py")}
    for path, text in files.items():
        for node in ast.walk(ast.parse(text)) if "trust_remote_code" in text else ():
            values = [node.value] if isinstance(node, ast.keyword) and node.arg == "trust_remote_code" else []
            if isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values)
                values += [v for k, v in pairs if isinstance(k, ast.Constant) and k.value == "trust_remote_code"]
            for value in values:
                assert path.name == "worker.py" or ast.unparse(value) == "False", path
    last = (ROOT / "zoo/hub/verify.py").read_text().split("def check_download(")[1]
    assert 0 < last.index("folder = download(") < last.index("check_without_library(folder, batch, worker)")


# Tokens


def random_token(generator: random.Random) -> str:
    return "hf_" + "".join(generator.choices(string.ascii_letters + string.digits, k=34))


def test_scrub_hides_tokens_wherever_they_stand(monkeypatch):
    generator = random.Random(0)
    for _ in range(200):
        token = (
            random_token(generator) if generator.random() < 0.5 else "".join(generator.choices("ab'\"\\\n\té", k=12))
        )
        monkeypatch.setenv("HF_TOKEN", token)
        kept = token.strip()
        noise = "".join(generator.choices(string.printable, k=30))
        for text in (f"{noise}{kept}{noise}", f"Illegal header value {kept!r}", f"b'{kept}'"):
            if len(kept) >= 8:
                assert kept not in scrub(text) and HIDDEN in scrub(text)
    assert scrub("hf_" + "a" * 34 + " of somebody else") == f"{HIDDEN} of somebody else"


EXAMPLES = {
    "Hugging Face token": "hf_" + "a" * 34,
    "GitHub token": "ghp_" + "a" * 36,
    "GitLab token": "glpat-" + "a" * 20,
    "AWS key": "AKIA" + "A" * 16,
    "Google key": "AIza" + "a" * 35,
    "Slack token": "xoxb-" + "1" * 12,
    "OpenAI or Anthropic key": "sk-" + "a" * 40,
    "Weights & Biases key": "wandb_api_key: " + "0" * 40,
    "private key": "-----BEGIN OPENSSH PRIVATE KEY-----",
    "password in an address": "https://me:secret@example.org/x",
}


def test_secrets_are_found_and_not_shown(tmp_path):
    (tmp_path / "fine.json").write_text('{"sha256": "' + "a" * 64 + '", "url": "https://example.org/a@b"}')
    for kind in SECRETS:
        (tmp_path / "recipe.yaml").write_text(f"data: x\nnote: {EXAMPLES[kind]}\n")
        assert find_secrets(tmp_path, sorted(tmp_path.iterdir())) == [f"recipe.yaml, line 2: {kind}"]


def test_paths_of_home_folders_are_noticed(tmp_path):
    lines = [
        "data_dir: /home/ada/x",
        "C:\\Users\\ada\\x",
        "/root/x",
        "/Users/ada/x",
        "https://a.org/home/x",
        "model/root/x",
        "~/x",
    ]
    (tmp_path / "recipe.yaml").write_text("\n".join(lines))
    found = find_home_paths(tmp_path, [tmp_path / "recipe.yaml"])
    assert found == [f"recipe.yaml, line {number}" for number in (1, 2, 3, 4)]


def test_a_folder_with_a_secret_in_it_is_not_staged(run, tmp_path, monkeypatch):
    record = (run / "results.json").read_text()
    (run / "results.json").write_text(record.replace('"What it is."', '"What it is. hf_' + "a" * 34 + '"'))
    with pytest.raises(ValueError, match="has a secret in it: README.md, line") as caught:
        stage(run, tmp_path / "card")
    assert "hf_aaa" not in str(caught.value) and not (tmp_path / "card").exists()
    monkeypatch.setenv("HF_TOKEN", "What it is.")  # whatever its form: your own token
    (run / "results.json").write_text(record)
    with pytest.raises(ValueError, match="your own token"):
        stage(run, tmp_path / "card")


def test_a_token_on_the_command_line_or_in_a_recipe_is_refused(tiny_recipe, tmp_path):
    token = random_token(random.Random(1))
    flags = [option for action in make_parser()._actions for option in action.option_strings]
    assert not any("token" in flag for flag in flags)
    for arguments in (["--hub_token", token], [f"--push_to_hub_token={token}"]):
        code, printed = run_command(train, tiny_recipe, "--output_dir", tmp_path / "out", *arguments)
        assert code == 2 and token not in printed and not (tmp_path / "out").exists()
    tiny_recipe.write_text(tiny_recipe.read_text().replace("ema_decay: 0.9", f"hub_token: {token}"))
    code, printed = run_command(train, tiny_recipe, "--output_dir", tmp_path / "out")
    assert code == 2 and "hub_token" in printed and token not in printed


def test_a_token_in_an_odd_place_is_neither_shown_nor_kept(tiny_recipe, tmp_path, monkeypatch):
    """results.json would keep the command and the recipe."""
    token = random_token(random.Random(4))
    out = ("--output_dir", tmp_path / "out")
    for call in (
        (train, tiny_recipe, *out, "--run_name", token),
        (train, tiny_recipe, *out, f"--data_dir=/x/{token}"),
        (publish_command, tmp_path, "--repo_id", "a/b", "--token", token),
        (publish_command, tmp_path, "--repo_id", "a/b", "--max_samples", token),
        (publish_command, tmp_path, "--repo_id", f"{token}"),
        (card_command, tmp_path, f"--token={token}"),
    ):
        code, printed = run_command(*call)
        assert code == 2 and token not in printed and printed.startswith("error: "), printed
    monkeypatch.setenv("HF_TOKEN", "my-own-token-of-another-form")
    tiny_recipe.write_text(tiny_recipe.read_text().replace("title: Tiny", "title: my-own-token-of-another-form"))
    code, printed = run_command(train, tiny_recipe, *out)
    assert code == 2 and "my-own-token" not in printed
    assert not (tmp_path / "out").exists()


def test_tokens_never_show(hub, api, small, tmp_path, monkeypatch, caplog):
    """Whatever fails, wherever: not in messages, tracebacks, logs, nor in any file."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("huggingface_hub.constants.HF_DEBUG", True)
    generator = random.Random(3)
    tokens = []
    for number in range(30):
        token = random_token(generator)
        if number % 5 == 4:
            token = token[:10] + generator.choice(["\x01", " ", "é", "\x7f", "'"]) + token[10:]
        tokens.append(token)
        hub.state.tokens[token] = Token("ada", "write", ("primer-zoo",))
        monkeypatch.setenv("HF_TOKEN", token)
        fault = Fault(
            generator.choice(["500", "403", "401", "412", "cut", "refuse"]), at=generator.randrange(8), times=None
        )
        with hub.failing(fault), pytest.raises(PublishError) as caught:
            publish(small, f"primer-zoo/fuzz{number}", say=quiet)
        assert caught.value.__cause__ is None
        code, printed = run_command(publish_command, tmp_path / "nowhere", "--repo_id", "a/b", "--debug")
        assert code != 0
        texts = [str(caught.value), printed, caplog.text]
        texts += [path.read_bytes().decode("latin-1") for path in small.rglob("*") if path.is_file()]
        for text in texts:
            assert token not in text and ascii(token)[1:-1] not in text
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert written and not any(t.encode() in p.read_bytes() for p in written for t in tokens)


def test_no_worker_is_given_a_token(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    code = f"import os, huggingface_hub as h\nprint(h.get_token(), {TOKEN!r} in os.environ.values())"
    no_library = "try:\n    import zoo\nexcept ImportError:\n    print('no')"
    worker = CleanProcess(without_library=True)
    assert worker.ask("run", code=code)["output"] == "None False\n"
    assert worker.ask("run", code=no_library)["output"] == "no\n"
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        worker.ask("run", code="1 / 0")
    with pytest.raises(RuntimeError, match="the process ended before it could run it"):
        worker.ask("run", code="import os\nos._exit(3)")
