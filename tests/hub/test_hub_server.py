"""The test server answers the real client as the Hub does."""

from pathlib import Path

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub.conftest import OTHER_TOKEN, READ_TOKEN, REPO
from tests.hub_server import Fault


def test_upload_and_download(api, hub, small, tmp_path):
    url = api.create_repo(REPO)
    assert (url.repo_id, str(url)) == (REPO, f"{hub.url}/{REPO}")
    first = api.upload_folder(repo_id=REPO, folder_path=small, commit_message="First")
    assert hub.repo(REPO).history() == ["First", "initial commit"]
    hub.requests.clear()
    assert api.upload_folder(repo_id=REPO, folder_path=small).oid == first.oid  # nothing changed
    assert not any(line.startswith("PUT") or "/commit/" in line for line in hub.requests)
    local = Path(snapshot_download(REPO, cache_dir=tmp_path / "cache"))
    assert local.name == first.oid and (local / "pictures/a.png").read_bytes() == b"png"
    assert any("/cdn/" in line for line in hub.requests)  # another host, which refuses tokens
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(REPO, "nothing.py", cache_dir=tmp_path / "cache")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download(REPO, "config.json", revision="v9", cache_dir=tmp_path / "cache")
    part = httpx2.get(f"{hub.url}/{REPO}/resolve/main/config.json", headers={"Range": "bytes=4-9"})
    assert (part.status_code, part.content) == (206, (small / "config.json").read_bytes()[4:10])


def test_refs_and_a_stale_parent(api, small):
    api.create_repo(REPO)
    first = api.upload_folder(repo_id=REPO, folder_path=small).oid
    api.create_branch(REPO, branch="next")
    second = api.create_commit(REPO, [CommitOperationAdd("a", b"a")], commit_message="On next", revision="next").oid
    api.create_tag(REPO, tag="v1.0.0", revision=second)
    assert [api.model_info(REPO, revision=name).sha for name in ("main", "next", "v1.0.0")] == [first, second, second]
    for call in (lambda: api.create_branch(REPO, branch="next"), lambda: api.create_tag(REPO, tag="v1.0.0")):
        with pytest.raises(HfHubHTTPError, match="409"):
            call()
    with pytest.raises(HfHubHTTPError, match="412"):
        api.create_commit(REPO, [CommitOperationAdd("b", b"b")], commit_message="Late", parent_commit="0" * 40)
    with pytest.raises(ValueError, match="Invalid metadata in README.md"):
        api.create_commit(REPO, [CommitOperationAdd("README.md", b"---\nlicense: [1]\n---\n")], commit_message="Bad")


def test_accounts_and_pull_requests(api, hub, small):
    api.create_repo(REPO)
    first = api.upload_folder(repo_id=REPO, folder_path=small).oid
    reader, bob = HfApi(endpoint=hub.url, token=READ_TOKEN), HfApi(endpoint=hub.url, token=OTHER_TOKEN)
    for client in (reader, bob):
        with pytest.raises(HfHubHTTPError, match="403"):
            client.create_commit(REPO, [CommitOperationAdd("a", b"a")], commit_message="No")
        with pytest.raises(HfHubHTTPError, match="403"):
            client.create_repo("primer-zoo/other")
    pull = bob.create_commit(REPO, [CommitOperationAdd("a", b"a")], commit_message="A change", create_pr=True)
    assert (pull.pr_num, pull.pr_revision) == (1, "refs/pr/1") and api.model_info(REPO).sha == first
    assert [found.num for found in api.get_repo_discussions(REPO, discussion_status="open")] == [1]
    hub.repo(REPO).private = True
    assert reader.model_info(REPO).private
    for token in (OTHER_TOKEN, False):
        with pytest.raises(RepositoryNotFoundError):
            HfApi(endpoint=hub.url).model_info(REPO, token=token)


def test_faults_hit_the_request_that_they_name(api, hub):
    api.create_repo(REPO)
    for kind, message in (("500", "500"), ("refuse", "reset|disconnected"), ("cut", "reset|disconnected")):
        with hub.failing(Fault(kind, at=1, matching="/api/models")):
            assert api.model_info(REPO).id == REPO
            with pytest.raises((HfHubHTTPError, httpx2.HTTPError), match=message):
                api.model_info(REPO)
            assert api.model_info(REPO).id == REPO
    for kind in ("cut", "half"):
        with hub.failing(Fault(kind, matching="branch")), pytest.raises(httpx2.HTTPError):
            api.create_branch(REPO, branch=kind, revision="main")
    assert set(hub.repo(REPO).named("heads")) == {"main", "cut"}  # a cut answer is carried out, half a request is not
