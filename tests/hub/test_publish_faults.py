"""A fault at every request of an upload: the repository is never half changed, and a second run completes."""

import copy
import shutil

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError

from tests.hub.conftest import REPO, quiet
from tests.hub.test_publish import commits, local, on_hub
from tests.hub_server import KINDS, Fault
from zoo.hub import remote
from zoo.hub.options import PublishError, PublishOptions
from zoo.hub.publish import publish
from zoo.hub.verify import download

FIRST = PublishOptions(tag="v1.0.0")


@pytest.fixture(autouse=True)
def one_retry(api, monkeypatch):
    """Less to wait for than with four."""
    monkeypatch.setattr(remote, "WAITS", (0.0,))


def state(hub):
    """None without a repository; else (number of commits, files of main, files of each tag)."""
    if ("model", REPO) not in hub.state.repos:
        return None
    repo = hub.repo(REPO)
    return len(repo.history()), on_hub(hub), {tag: on_hub(hub, tag) for tag in repo.named("tags")}


def every_fault(hub, action, kinds=KINDS, times=None):
    """Before each fault restore what the server stores now; the request and a server that fails there."""
    repos, objects = copy.deepcopy(hub.state.repos), dict(hub.state.objects)

    def restore():
        hub.state.repos, hub.state.objects = copy.deepcopy(repos), dict(objects)

    hub.requests.clear()
    action()
    # What the client asks for once in each process is not a request of an upload.
    seen = [line for line in hub.requests if "agent-harnesses" not in line]
    for kind in kinds:
        for at, line in enumerate(seen):
            restore()
            yield (kind, line), hub.failing(Fault(kind, at=at, times=times))


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


def test_a_fault_at_every_request_of_a_first_upload(hub, api, small):
    files, requests = local(small), set()
    for where, failing in every_fault(hub, lambda: publish(small, REPO, FIRST, quiet), KINDS[1:]):
        requests.add(where[1].split("?")[0])
        # The server breaks down at this request and does not come back.
        with failing, pytest.raises(PublishError) as caught:
            publish(small, REPO, FIRST, quiet)
        assert "\n" not in str(caught.value), where
        if state(hub) is not None:
            count, held, tags = state(hub)
            assert held in ({}, files) and count == 1 + bool(held), where
            assert all(tagged == files for tagged in tags.values()), where
        publish(small, REPO, FIRST, quiet)
        assert state(hub) == (2, files, {"v1.0.0": files}), where
    for step in ("whoami", "create", "validate-yaml", "preupload", "batch", "PUT", "verify", "commit", "tag"):
        assert any(step in line for line in requests), step


def test_a_fault_at_every_request_of_a_download(hub, api, small, tmp_path):
    published = publish(small, REPO, FIRST, quiet)

    def fetch():
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        return download(published, tmp_path / "cache")

    errors = []
    for _, failing in every_fault(hub, fetch, ("500", "cut")):
        with failing:
            try:
                fetch()  # files come in any order: the fault may hit none of them
            except PublishError as error:
                errors.append(str(error))
    assert len(errors) > 10 and not any("\n" in error for error in errors)


def test_a_temporary_fault_at_every_request_is_retried(hub, api, small):
    files = local(small)
    for where, failing in every_fault(hub, lambda: publish(small, REPO, FIRST, quiet), ("500", "cut"), times=1):
        with failing:
            publish(small, REPO, FIRST, quiet)
        assert state(hub) == (2, files, {"v1.0.0": files}), where


def test_a_fault_at_every_request_of_an_update(hub, api, small):
    """The repository holds the old files or the new ones, never some of each."""
    publish(small, REPO, FIRST, quiet)
    old = local(small)
    (small / "model.safetensors").write_bytes(b"new weights")
    (small / "config.json").write_text("{}")
    (small / "pictures/a.png").unlink()
    new, options = local(small), PublishOptions(tag="v1.1.0")
    for where, failing in every_fault(hub, lambda: publish(small, REPO, options, quiet)):
        with failing, pytest.raises(PublishError):
            publish(small, REPO, options, quiet)
        count, held, tags = state(hub)
        assert (count, held) in ((2, old), (3, new)), where
        assert tags["v1.0.0"] == old and tags.get("v1.1.0", new) == new
        publish(small, REPO, options, quiet)
        assert state(hub) == (3, new, {"v1.0.0": old, "v1.1.0": new}), where


def test_a_fault_at_every_request_of_a_pull_request(hub, api, small):
    publish(small, REPO, FIRST, quiet)
    old = local(small)
    (small / "config.json").write_text("{}")
    new, options = local(small), PublishOptions(create_pr=True)
    for where, failing in every_fault(hub, lambda: publish(small, REPO, options, quiet), ("refuse", "cut")):
        hub.requests.clear()
        with failing, pytest.raises(PublishError):
            publish(small, REPO, options, quiet)
        assert on_hub(hub) == old and len(hub.repo(REPO).named("pr")) <= 1, where
        publish(small, REPO, options, quiet)
        assert list(hub.repo(REPO).named("pr")) == ["1"] and on_hub(hub, "refs/pr/1") == new, where
        assert on_hub(hub) == old and commits(hub) <= 2
