"""A fault at every request of an upload: the repository is never half changed, and a second run completes."""

import shutil

import pytest

from tests.hub.test_publish import REPO, commits, local, on_hub
from tests.hub_server import Fault
from tests.hub_server.faults import KINDS
from tests.hub_server.storage import HubError
from zoo.hub.publish import Wish, publish
from zoo.hub.remote import PublishError
from zoo.hub.verify import download

WISH = Wish(tag="v1.0.0")
UPDATE = Wish(tag="v1.1.0", revision="main")


def quiet(text: str) -> None:
    """Nobody listens."""


def wipe(hub) -> None:
    shutil.rmtree(hub.storage.folder)
    (hub.storage.folder / "lfs").mkdir(parents=True)


def state(hub):
    """None without a repository; else (number of commits, files of main, tags)."""
    try:
        repo = hub.repo(REPO)
    except HubError:
        return None
    tags = {tag: on_hub(hub, tag) for tag in repo.refs("tags")}
    return len(repo.history("main")), on_hub(hub), tags


def requests_of(hub, action) -> list[str]:
    """What a run without faults asks for, but what the client asks for once in each process."""
    hub.requests.clear()
    action()
    return [line for line in hub.requests if "agent-harnesses" not in line]


def test_a_fault_at_every_request_of_a_first_upload(hub, api, small, tmp_path):
    files = local(small)

    def upload():
        published = publish(small, REPO, WISH, quiet)
        download(published, tmp_path / "cache")

    seen = requests_of(hub, upload)
    uploads = [number for number, line in enumerate(seen) if line.startswith(("POST", "PUT"))]
    assert len(seen) >= 20 and len(uploads) >= 8
    for kind in KINDS:
        for at in range(len(seen)):
            wipe(hub)
            shutil.rmtree(tmp_path / "cache")
            # The server breaks down at this request and does not come back.
            with hub.failing(Fault(kind, at=at, times=None)), pytest.raises(PublishError) as caught:
                upload()
            assert "\n" not in str(caught.value), (kind, seen[at])
            found = state(hub)
            if found is not None:
                count, held, tags = found
                assert held in ({}, files) and count == 1 + bool(held), (kind, seen[at])
                assert all(tagged == files for tagged in tags.values()), (kind, seen[at])
            upload()
            assert state(hub) == (2, files, {"v1.0.0": files}), (kind, seen[at])


def test_a_passing_fault_at_every_request_is_waited_for(hub, api, small, tmp_path):
    files = local(small)
    seen = requests_of(hub, lambda: publish(small, REPO, WISH, quiet))
    for kind in KINDS:
        for at in range(len(seen)):
            wipe(hub)
            with hub.failing(Fault(kind, at=at)):
                publish(small, REPO, WISH, quiet)
            assert state(hub) == (2, files, {"v1.0.0": files}), (kind, seen[at])


def test_a_fault_at_every_request_of_an_update(hub, api, small, tmp_path):
    """The repository holds the old files or the new ones, never some of each."""
    publish(small, REPO, WISH, quiet)
    old = local(small)
    saved = shutil.copytree(hub.storage.folder, tmp_path / "saved")
    (small / "model.safetensors").write_bytes(b"new weights")
    (small / "config.json").write_text("{}")
    (small / "pictures/a.png").unlink()
    new = local(small)
    seen = requests_of(hub, lambda: publish(small, REPO, UPDATE, quiet))
    assert commits(hub) == 1
    for kind in KINDS:
        for at in range(len(seen)):
            shutil.rmtree(hub.storage.folder)
            shutil.copytree(saved, hub.storage.folder)
            with hub.failing(Fault(kind, at=at, times=None)), pytest.raises(PublishError):
                publish(small, REPO, UPDATE, quiet)
            count, held, tags = state(hub)
            assert (count, held) in ((2, old), (3, new)), (kind, seen[at])
            assert tags["v1.0.0"] == old and tags.get("v1.1.0", new) == new
            publish(small, REPO, UPDATE, quiet)
            assert state(hub) == (3, new, {"v1.0.0": old, "v1.1.0": new}), (kind, seen[at])


def test_a_fault_at_every_request_of_a_pull_request(hub, api, small, tmp_path):
    publish(small, REPO, WISH, quiet)
    old = local(small)
    saved = shutil.copytree(hub.storage.folder, tmp_path / "saved")
    (small / "config.json").write_text("{}")
    new, wish = local(small), Wish(create_pr=True)
    seen = requests_of(hub, lambda: publish(small, REPO, wish, quiet))
    for kind in KINDS:
        for at in range(len(seen)):
            shutil.rmtree(hub.storage.folder)
            shutil.copytree(saved, hub.storage.folder)
            with hub.failing(Fault(kind, at=at, times=None)), pytest.raises(PublishError):
                publish(small, REPO, wish, quiet)
            assert on_hub(hub) == old and len(hub.repo(REPO).pulls()) <= 1, (kind, seen[at])
            publish(small, REPO, wish, quiet)
            assert list(hub.repo(REPO).pulls()) == [1] and on_hub(hub, "refs/pr/1") == new, (kind, seen[at])
            assert on_hub(hub) == old
