"""The test server answers the real client as the Hub does: each call, and what is refused."""

import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi, snapshot_download
from huggingface_hub import hf_hub_download as download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub.conftest import OTHER_TOKEN, READ_TOKEN, TOKEN
from tests.hub_server import Fault, HubServer, client_of
from tests.hub_server.client import environment

REPO = "primer-zoo/thing"
CARD = "---\nlicense: apache-2.0\ntags:\n- a\n---\n\n# A card\n"


def folder_of(path: Path, **files: bytes) -> Path:
    for name, content in files.items():
        file = path / name.replace("__", "/").replace("_dot_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return path


def some_files(path: Path) -> Path:
    return folder_of(
        path, README_dot_md=CARD.encode(), model_dot_safetensors=b"w" * 1000, pictures__a_dot_png=b"png", x_dot_py=b"x"
    )


def upload(api, tmp_path, repo=REPO, **options):
    if not api.repo_exists(repo):
        api.create_repo(repo)
    return api.upload_folder(repo_id=repo, folder_path=some_files(tmp_path / "local"), **options)


def test_whoami(api):
    found = api.whoami()
    assert (found["name"], found["auth"]["accessToken"]["role"]) == ("ada", "write")
    assert [org["name"] for org in found["orgs"]] == ["primer-zoo"]
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        api.whoami(token="hf_wrong")


def test_create_upload_and_download(api, hub, tmp_path):
    url = api.create_repo(REPO)
    assert (url.repo_id, url.repo_type, str(url)) == (REPO, "model", f"{hub.url}/{REPO}")
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo(REPO)
    assert api.create_repo(REPO, exist_ok=True).repo_id == REPO
    commit = upload(api, tmp_path, commit_message="First")
    assert commit.oid == api.model_info(REPO).sha == hub.repo(REPO).resolve("main")
    assert hub.repo(REPO).read("main", "model.safetensors") == b"w" * 1000
    info = api.model_info(REPO, files_metadata=True)
    sizes = {file.rfilename: (file.size, file.lfs is not None) for file in info.siblings}
    assert sizes["model.safetensors"] == (1000, True) and sizes["x.py"] == (1, False)
    assert info.card_data.license == "apache-2.0"
    assert [commit.title for commit in api.list_repo_commits(REPO)] == ["First", "initial commit"]
    local = Path(snapshot_download(REPO, cache_dir=tmp_path / "cache"))
    assert local.name == commit.oid and (local / "pictures/a.png").read_bytes() == b"png"
    assert api.verify_repo_checksums(REPO, cache_dir=tmp_path / "cache").mismatches == []
    assert Path(download(REPO, "x.py", revision=commit.oid, cache_dir=tmp_path / "other")).read_bytes() == b"x"
    with pytest.raises(EntryNotFoundError):
        download(REPO, "nothing.py", cache_dir=tmp_path / "other")
    with pytest.raises(RevisionNotFoundError):
        download(REPO, "x.py", revision="v9", cache_dir=tmp_path / "other")


def test_unchanged_content_makes_no_commit_and_large_files_travel_once(api, hub, tmp_path):
    first = upload(api, tmp_path)
    hub.requests.clear()
    assert upload(api, tmp_path).oid == first.oid
    assert not any(line.startswith("PUT") or "/commit/" in line for line in hub.requests)
    (tmp_path / "local/x.py").write_bytes(b"y")
    assert api.upload_folder(repo_id=REPO, folder_path=tmp_path / "local").oid != first.oid
    assert not any(line.startswith("PUT") for line in hub.requests)


def test_deletions_copies_and_a_stale_parent(api, hub, tmp_path):
    first = upload(api, tmp_path).oid
    operations = [
        CommitOperationDelete("x.py"),
        CommitOperationDelete("pictures/"),
        CommitOperationCopy("model.safetensors", "copy.safetensors"),
        CommitOperationAdd("new.txt", b"new"),
    ]
    api.create_commit(REPO, operations, commit_message="Change", parent_commit=first)
    names = {".gitattributes", "README.md", "model.safetensors", "copy.safetensors", "new.txt"}
    assert set(api.list_repo_files(REPO)) == names == set(hub.repo(REPO).files())
    with pytest.raises(HfHubHTTPError, match="412"):
        api.create_commit(REPO, [CommitOperationAdd("z", b"z")], commit_message="Late", parent_commit=first)
    with pytest.raises(EntryNotFoundError):
        api.create_commit(REPO, [CommitOperationDelete("nothing")], commit_message="Delete")
    assert {info.path: info.size for info in api.get_paths_info(REPO, ["new.txt", "absent"])} == {"new.txt": 3}
    with pytest.raises(ValueError, match="Invalid metadata in README.md"):
        api.create_commit(REPO, [CommitOperationAdd("README.md", b"---\nlicense: [1]\n---\n")], commit_message="Bad")


def test_branches_tags_and_their_errors(api, tmp_path):
    first = upload(api, tmp_path).oid
    api.create_branch(REPO, branch="next")
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_branch(REPO, branch="next")
    api.create_branch(REPO, branch="next", exist_ok=True)
    second = api.create_commit(REPO, [CommitOperationAdd("a", b"a")], commit_message="On next", revision="next").oid
    assert api.model_info(REPO).sha == first and api.model_info(REPO, revision="next").sha == second
    api.create_tag(REPO, tag="v1.0.0", revision=second)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag(REPO, tag="v1.0.0")
    assert api.model_info(REPO, revision="v1.0.0").sha == second
    refs = api.list_repo_refs(REPO)
    assert {ref.name for ref in refs.branches} == {"main", "next"}
    assert [(ref.name, ref.target_commit) for ref in refs.tags] == [("v1.0.0", second)]
    api.delete_tag(REPO, tag="v1.0.0")
    api.delete_branch(REPO, branch="next")
    assert not api.list_repo_refs(REPO).tags
    with pytest.raises(RevisionNotFoundError):
        api.create_commit(REPO, [CommitOperationAdd("a", b"a")], commit_message="x", revision="nowhere")


def test_pull_requests(api, hub, tmp_path):
    first = upload(api, tmp_path).oid
    bob = HfApi(endpoint=hub.url, token=OTHER_TOKEN)
    (tmp_path / "local/x.py").write_bytes(b"better")
    pull = bob.upload_folder(repo_id=REPO, folder_path=tmp_path / "local", create_pr=True, commit_message="Better")
    assert (pull.pr_num, pull.pr_revision) == (1, "refs/pr/1") and api.model_info(REPO).sha == first
    assert Path(download(REPO, "x.py", revision="refs/pr/1", cache_dir=tmp_path / "c")).read_bytes() == b"better"
    assert [(d.num, d.title) for d in api.get_repo_discussions(REPO, discussion_status="open")] == [(1, "Better")]
    assert [ref.ref for ref in api.list_repo_refs(REPO, include_pull_requests=True).pull_requests] == ["refs/pr/1"]
    with pytest.raises(HfHubHTTPError, match="403"):
        bob.merge_pull_request(REPO, 1)
    api.merge_pull_request(REPO, 1)
    assert api.model_info(REPO).sha == pull.oid
    assert not list(api.get_repo_discussions(REPO, discussion_status="open"))


def test_tokens_that_read_and_strangers(api, hub, tmp_path):
    upload(api, tmp_path)
    reader, bob = HfApi(endpoint=hub.url, token=READ_TOKEN), HfApi(endpoint=hub.url, token=OTHER_TOKEN)
    for client in (reader, bob):
        with pytest.raises(HfHubHTTPError, match="403"):
            client.create_commit(REPO, [CommitOperationAdd("a", b"a")], commit_message="No")
        with pytest.raises(HfHubHTTPError, match="403"):
            client.create_repo("primer-zoo/other")
    api.update_repo_settings(REPO, private=True)
    assert reader.model_info(REPO).private
    for token in (OTHER_TOKEN, False):
        with pytest.raises(RepositoryNotFoundError):
            HfApi(endpoint=hub.url).model_info(REPO, token=token)
    api.delete_repo(REPO)
    assert not api.repo_exists(REPO)
    api.delete_repo(REPO, missing_ok=True)


def test_large_files_come_from_another_host_without_the_token(api, hub, tmp_path):
    upload(api, tmp_path)
    snapshot_download(REPO, cache_dir=tmp_path / "cache")
    from_cdn = [token for line, token in zip(hub.requests, hub.authorizations) if "/cdn/" in line]
    assert from_cdn and set(from_cdn) == {None}


def test_ranges(api, hub, tmp_path):
    upload(api, tmp_path)
    url = f"{hub.url}/{REPO}/resolve/main/README.md"
    whole = httpx2.get(url).content
    part = httpx2.get(url, headers={"Range": "bytes=4-9"})
    assert (part.status_code, part.content) == (206, whole[4:10])
    assert part.headers["content-range"] == f"bytes 4-9/{len(whole)}"
    assert httpx2.get(url, headers={"Range": "bytes=10-"}).content == whole[10:]
    assert httpx2.get(url, headers={"Range": "bytes=5000-"}).status_code == 416


def test_long_listings_come_in_pages(tmp_path):
    with HubServer(tmp_path / "server", page=2) as hub, client_of(hub, tmp_path / "home", TOKEN) as api:
        hub.accounts.add("ada", TOKEN, organisations=["primer-zoo"])
        upload(api, tmp_path)
        assert len(api.list_repo_files(REPO)) == 5
        assert any("cursor=2" in line for line in hub.requests)


def test_other_types_and_what_lies_on_the_disk(api, tmp_path):
    api.create_repo(REPO, repo_type="dataset")
    api.upload_file(path_or_fileobj=b"1,2", path_in_repo="a.csv", repo_id=REPO, repo_type="dataset")
    assert Path(download(REPO, "a.csv", repo_type="dataset", cache_dir=tmp_path / "c")).read_bytes() == b"1,2"
    assert not api.repo_exists(REPO)
    with HubServer(tmp_path / "server") as again:  # another server over the same folder
        assert again.repo(REPO, "dataset").read("main", "a.csv") == b"1,2"


def test_faults_hit_the_request_that_they_name(api, hub):
    api.create_repo(REPO)
    for kind, message in (("500", "500"), ("refuse", "reset|disconnected"), ("cut", "reset|disconnected")):
        with hub.failing(Fault(kind, at=1, matching="/api/models")):
            assert api.model_info(REPO).id == REPO
            with pytest.raises((HfHubHTTPError, httpx2.HTTPError), match=message):
                api.model_info(REPO)
            assert api.model_info(REPO).id == REPO
    with hub.failing(Fault("cut", matching="branch")), pytest.raises(httpx2.HTTPError):
        api.create_branch(REPO, branch="cut")
    with hub.failing(Fault("half", matching="branch")), pytest.raises(httpx2.HTTPError):
        api.create_branch(REPO, branch="half", revision="main")
    assert set(hub.repo(REPO).refs("heads")) == {"main", "cut"}  # a cut answer is carried out, half a request is not


def test_the_command_line_client(hub, api, tmp_path):
    """`hf upload` and `hf download`, as a person would."""
    api.create_repo(REPO)
    variables = {"PATH": "", **environment(hub, tmp_path / "cli", TOKEN)}

    def hf(*arguments):
        command = [sys.executable, "-m", "huggingface_hub.cli.hf", *map(str, arguments)]
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=True, cwd=tmp_path).stdout

    hf("upload", REPO, some_files(tmp_path / "local"), "--commit-message", "By hand")
    assert hub.repo(REPO).history("main")[0]["title"] == "By hand"
    hf("download", REPO, "--revision", "main", "--local-dir", tmp_path / "out")
    assert (tmp_path / "out/model.safetensors").read_bytes() == b"w" * 1000
