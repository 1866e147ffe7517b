"""The page's folder: what is in it, what is refused, what is missing."""

import json
import re
import threading
import urllib.request

import pytest
import yaml

from zoo.commands.demo import main
from zoo.demo import build as build_module
from zoo.demo import vendor
from zoo.demo.build import PAGE, SPACE, build
from zoo.demo.models import MODELS, TABS, describe, find_export
from zoo.demo.serve import HOST, make_server
from zoo.export.record import ExportRecord

ROOT = vendor.HERE


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """No npm and no export: a runtime of one byte, and a classifier of two."""
    runtime = tmp_path / "vendor"
    runtime.mkdir()
    (runtime / vendor.RUNTIME).write_bytes(b"\0")
    monkeypatch.setattr(build_module, "stored_vendor", lambda folder: runtime)
    exports = tmp_path / "exports"
    for model_id in MODELS[:2]:
        (exports / model_id).mkdir(parents=True)
        (exports / model_id / "model.onnx").write_bytes(b"12")
        (exports / model_id / "config.json").write_text("{}")
    return exports


def test_the_page_is_complete(tmp_path, offline):
    page = build(tmp_path / "page", MODELS[:1], offline)
    catalogue = json.loads((page / "catalogue.json").read_text())
    info = catalogue["models"][MODELS[0]]
    assert catalogue["tabs"] == ["classify"]
    assert catalogue["runtime"]["bytes"] == 1
    assert info["files"]["model.onnx"]["bytes"] == 2
    assert set(info["files"]) == {"model.onnx", "config.json"}
    for name in info["files"]:
        assert (page / "models" / MODELS[0] / name).is_file()
    assert {path.name for path in PAGE.iterdir()} <= {path.name for path in page.iterdir()}


def test_a_second_build_replaces_the_first_one(tmp_path, offline):
    page = build(tmp_path / "page", MODELS[:1], offline)
    (page / "old.js").touch()
    build(page, MODELS[:2], offline)
    assert not (page / "old.js").exists()
    assert [path.name for path in tmp_path.glob(".page*")] == []


def test_a_folder_of_something_else_is_refused(tmp_path, offline, capsys):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    code = main(["--output_dir", str(tmp_path / "thesis"), "--exports_dir", str(offline)])
    assert code == 1
    assert "choose an empty folder" in capsys.readouterr().err
    assert (tmp_path / "thesis" / "chapter.tex").is_file()


def test_a_failed_build_leaves_the_earlier_page(tmp_path, offline, monkeypatch):
    page = build(tmp_path / "page", MODELS[:1], offline)

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(build_module, "write_models", fail)
    with pytest.raises(OSError, match="disk full"):
        build(page, MODELS[:2], offline)
    assert (page / "index.html").is_file()
    assert [path.name for path in tmp_path.glob(".page*")] == []


def test_an_interrupted_build_leaves_the_earlier_page_and_says_so(tmp_path, offline, monkeypatch, capsys):
    page = build(tmp_path / "page", MODELS[:1], offline)

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(build_module, "write_models", interrupt)
    assert main(["--output_dir", str(page), "--exports_dir", str(offline), "--models", *MODELS[:2]]) == 130
    assert (page / "index.html").is_file()
    assert [path.name for path in tmp_path.iterdir() if "page" in path.name] == ["page"]
    assert re.fullmatch("interrupted: no page was written; .*\n", capsys.readouterr().err)


def test_without_npm_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(vendor.shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="apt-get install npm"):
        vendor.fetch_vendor(tmp_path / "vendor")


def test_an_export_of_other_weights_is_not_used(tmp_path, monkeypatch):
    folder = tmp_path / MODELS[0]
    folder.mkdir()
    (folder / "model.onnx").touch()
    ExportRecord("onnx", MODELS[0], "image_classification", "float32", weights_sha256="0" * 64).write(folder)
    calls = []
    monkeypatch.setattr("zoo.export.export.export", lambda path, *args, **kwargs: calls.append(path))
    find_export(MODELS[0], tmp_path)
    assert len(calls) == 1


def test_a_damaged_export_is_named(tmp_path, offline, capsys):
    folder = offline / MODELS[0]
    record = ExportRecord("onnx", MODELS[0], "image_classification", "float32")
    record.add_files(folder)
    record.write(folder)
    (folder / "model.onnx").write_bytes(b"13")
    assert main(["--models", MODELS[0], "--exports_dir", str(offline), "--output_dir", str(tmp_path / "page")]) == 1
    assert "model.onnx is damaged" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()


def test_a_metric_has_its_unit_and_says_how_it_was_decoded(tmp_path):
    (tmp_path / "encoder_model.onnx").touch()
    (tmp_path / "generation_config.json").write_text('{"num_beams": 3}')
    assert re.fullmatch(
        r"WER \d+\.\d\d% on the test split with 3 beams; this page decodes greedily",
        describe("speech-commands-arabic", tmp_path).info["metric"],
    )
    (tmp_path / "generation_config.json").unlink()
    assert re.fullmatch(r"accuracy \d\d\.\d% on the test split", describe("fashion-cnn", tmp_path).info["metric"])


def test_the_lock_names_every_package_and_no_host():
    lock = (ROOT / "package-lock.json").read_text()
    packages = json.loads(lock)["packages"]
    assert "resolved" not in lock
    for name in vendor.FILES:
        assert packages[f"node_modules/{name}"]["integrity"].startswith("sha512-")


def test_the_service_worker_keeps_every_file_of_the_page():
    kept = set(re.findall(r'"([\w./-]+)"', re.search(r"FILES = \[(.*?)\]", (PAGE / "sw.js").read_text(), re.S)[1]))
    files = {str(path.relative_to(PAGE)) for path in PAGE.rglob("*") if path.is_file()}
    vendored = {
        f"vendor/{name}" for files in vendor.FILES.values() for name in files.values() if "LICENSE" not in name
    }
    # Models and the runtime keep themselves, and so does the worker.
    assert kept - {"./", "catalogue.json"} == (files - {"sw.js"}) | (vendored - {f"vendor/{vendor.RUNTIME}"})


def test_the_spaces_cards_have_valid_front_matter():
    for name, sdk, app in (("static.md", "static", "index.html"), ("gradio.md", "gradio", "app.py")):
        front = yaml.safe_load((SPACE / name).read_text().split("---")[1])
        assert (front["sdk"], front["app_file"]) == (sdk, app)
        assert [model.split("/")[1] for model in front["models"]] == list(MODELS)
        assert len(front.get("short_description", "")) <= 60  # the Hub's limit


def test_every_tab_has_a_module():
    for tab in TABS:
        assert (PAGE / f"{tab}.js").is_file()


def test_the_server_sends_the_types_that_browsers_insist_on(tmp_path):
    types = {"a.mjs": "text/javascript", "a.js": "text/javascript", "a.wasm": "application/wasm"}
    for name in types:
        (tmp_path / name).touch()
    with make_server(tmp_path, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, kind in types.items():
            with urllib.request.urlopen(f"http://{HOST}:{server.server_address[1]}/{name}") as response:
                assert response.headers["Content-Type"] == kind
        server.shutdown()


def test_a_taken_port_is_named(tmp_path):
    with make_server(tmp_path, 0) as server:
        with pytest.raises(OSError, match="choose another with --port"):
            make_server(tmp_path, server.server_address[1])
