"""Publishing: one commit or none, the same command continues after a failure, and errors say what to do."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.hub.conftest import OTHER_TOKEN, READ_TOKEN, REPO, TOKEN
from tests.hub_server import Fault
from zoo.hub.blocks import Card
from zoo.hub.options import PublishError, PublishOptions, check_names
from zoo.hub.publish import publish
from zoo.hub.verify import check_download, download, registry_entry


def local(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def on_hub(hub, revision: str = "main") -> dict[str, bytes]:
    return hub.repo(REPO).files(revision)


def commits(hub) -> int:
    return sum("/commit/" in line for line in hub.requests)


def test_all_files_in_one_commit_tagged_and_verified(hub, api, small):
    lines = []
    published = publish(small, REPO, PublishOptions(tag="v1.0.0", message="First"), lines.append)
    repo = hub.repo(REPO)
    assert on_hub(hub) == on_hub(hub, "v1.0.0") == local(small)
    assert repo.history() == ["First", "initial commit"]
    assert (published.commit, published.changed, published.revision) == (repo.resolve("main"), True, "v1.0.0")
    assert published.url == f"{hub.url}/{REPO}/tree/v1.0.0" and not repo.private
    assert lines == [f"created {REPO}", "uploading 5 files"]
    assert "5 files with the same checksums" in check_download(published)
    entry = registry_entry(published)
    assert entry["commit"] == published.commit and set(entry["files"]) == {"config.json", "model.safetensors"}


def test_unchanged_content_makes_no_commit(hub, api, small):
    first = publish(small, REPO, PublishOptions(tag="v1.0.0"))
    hub.requests.clear()
    again = publish(small, REPO, PublishOptions(tag="v1.0.0"))
    assert (again.commit, again.changed) == (first.commit, False)
    assert {line.split()[0] for line in hub.requests} <= {"GET", "HEAD"}


def test_what_changed_is_one_commit_and_what_others_put_there_stays(hub, api, small):
    publish(small, REPO)
    kept = ("notes.txt", "pictures/hand.jpg", "examples/demo.py", "onnx/model.bin", "pictures/sub/mine.png")
    for name in ("pytorch_model.bin", "old_layers.py", "pictures/old.png", *kept):
        hub.repo(REPO).put(name, b"x")
    (small / "config.json").write_text('{"model_type": "other"}')
    hub.requests.clear()
    lines = []
    assert publish(small, REPO, say=lines.append).changed and commits(hub) == 1
    assert on_hub(hub) == local(small) | {name: b"x" for name in kept}
    assert lines == ["uploading 1 files, removing old_layers.py, pictures/old.png, pytorch_model.bin"]


def test_private_repositories_and_branches(hub, api, small):
    publish(small, REPO, PublishOptions(private=True))
    assert hub.repo(REPO).private
    published = publish(small, REPO, PublishOptions(revision="next"))
    assert not published.changed and hub.repo(REPO).resolve("next") == published.commit
    (small / "config.json").write_text("{}")
    main = hub.repo(REPO).resolve("main")
    assert publish(small, REPO, PublishOptions(revision="next")).changed
    assert on_hub(hub, "next") == local(small) and hub.repo(REPO).resolve("main") == main


def test_a_pull_request_is_opened_once(hub, api, small, monkeypatch):
    publish(small, REPO)
    monkeypatch.setenv("HF_TOKEN", OTHER_TOKEN)
    options = PublishOptions(create_pr=True)
    assert not publish(small, REPO, options).changed and not hub.repo(REPO).named("pr")
    (small / "config.json").write_text("{}")
    published = publish(small, REPO, options)
    assert (published.changed, published.url) == (True, f"{hub.url}/{REPO}/discussions/1")
    again = publish(small, REPO, options)
    assert (again.changed, again.url, again.commit) == (False, published.url, published.commit)
    assert list(hub.repo(REPO).named("pr")) == ["1"] and on_hub(hub, "refs/pr/1") == local(small)
    assert "5 files" in check_download(again)


def test_a_tag_is_never_moved(hub, api, small):
    first = publish(small, REPO, PublishOptions(tag="v1.0.0"))
    (small / "config.json").write_text("{}")
    with pytest.raises(PublishError, match="the tag v1.0.0 of primer-zoo/small has other files"):
        publish(small, REPO, PublishOptions(tag="v1.0.0"))
    assert hub.repo(REPO).resolve("main") == first.commit
    assert publish(small, REPO, PublishOptions(tag="v1.0.1")).commit != first.commit
    assert hub.repo(REPO).named("tags")["v1.0.0"] == first.commit


def test_branches_and_tags_are_not_taken_for_each_other(hub, api, small):
    """What is refused leaves no trace: no commit, no branch, no repository."""
    publish(small, REPO, PublishOptions(tag="v1.0.0"))
    api.create_branch(REPO, branch="next")
    (small / "config.json").write_text("{}")
    before = {kind: hub.repo(REPO).named(kind) for kind in ("heads", "tags")}
    refused(small, "next is a branch of primer-zoo/small: choose another name for the tag", PublishOptions(tag="next"))
    refused(small, "v1.0.0 is a tag of primer-zoo/small: --revision names a branch", PublishOptions(revision="v1.0.0"))
    refused(small, "the tag v1.0.0 of .* has other files", PublishOptions(tag="v1.0.0", revision="other"))
    refused(small, "primer-zoo/small has no refs/pr/9", PublishOptions(revision="refs/pr/9"))
    assert {kind: hub.repo(REPO).named(kind) for kind in ("heads", "tags")} == before
    refused(small, "primer-zoo/new does not exist", PublishOptions(revision="refs/pr/9"), repo="primer-zoo/new")
    assert not api.repo_exists("primer-zoo/new")


def test_a_card_that_was_edited_after_the_tag_is_not_another_version(hub, api, small):
    first = publish(small, REPO, PublishOptions(tag="v1.0.0"))
    edit_on_hub(hub, "Thanks, says ada.")
    head = hub.repo(REPO).resolve("main")
    again = publish(small, REPO, PublishOptions(tag="v1.0.0"))
    assert (again.changed, again.commit) == (False, first.commit) and hub.repo(REPO).resolve("main") == head
    before = (small / "README.md").read_text()
    second = publish(small, REPO, PublishOptions(tag="v1.0.1"))
    assert own_text(hub) == {"about": "Thanks, says ada."}
    (small / "README.md").write_text(before)  # staged anew, without that text
    again = publish(small, REPO, PublishOptions(tag="v1.0.1"))
    assert (again.changed, again.commit) == (False, second.commit)


BAD_REPOSITORIES = [
    *("small", "a/b/c", "../small", "primer-zoo/..", "primer-zoo/a b", "primer-zoo/", "-a/b", "a/b.git", "a/x--y"),
    *("a/é", "a/" + "x" * 200, "https://evil.example/a", "a/b?x=1", "a/b#c", "a/b\n", "a/modèle"),
]
BAD_REFS = [
    *("a b", "a..b", "-x", "x.lock", "a~1", "@{", "", "a//b", "x/", "refs/heads/x", "0" * 40, "@", "HEAD", "v\udcff"),
]


def test_names_are_checked_before_any_request(hub, api, small):
    for repo_id in BAD_REPOSITORIES:
        with pytest.raises(ValueError, match="--repo_id .* is not a repository"):
            publish(small, repo_id)
    for name in BAD_REFS:
        for options in (PublishOptions(revision=name), PublishOptions(tag=name)):
            with pytest.raises(ValueError, match="--(revision|tag)"):
                publish(small, REPO, options)
    assert hub.requests == []
    check_names(REPO, "refs/pr/3", "v1.0.0-rc1")


def test_contradictions_are_refused_before_any_request(hub, api, small):
    for options, message in (
        ({"create_pr": True, "tag": "v1"}, "--tag with --create_pr"),
        ({"create_pr": True, "revision": "x"}, "--revision with --create_pr"),
        ({"create_pr": True, "private": True}, "--private with --create_pr"),
        ({"tag": "main"}, "--tag 'main' is the name of a branch"),
        ({"tag": "next", "revision": "next"}, "--tag 'next' is the name of a branch"),
    ):
        with pytest.raises(ValueError, match=message):
            publish(small, REPO, PublishOptions(**options))
    assert hub.requests == []


# Errors for people


def refused(small, match, options=None, repo=REPO):
    with pytest.raises(PublishError, match=match) as caught:
        publish(small, repo, options)
    assert "\n" not in str(caught.value)
    for token in (TOKEN, READ_TOKEN, OTHER_TOKEN):
        assert token not in str(caught.value)


def test_tokens_that_do_not_write(hub, api, small, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    refused(small, "no token: set HF_TOKEN to one that may write, or log in with `hf auth login`")
    for token in ("hf_with a space", "hf_\x07bell", "hf_ünï", "hf_\ud800"):
        monkeypatch.setattr("zoo.hub.remote.get_token", lambda token=token: token)
        refused(small, "contains a space or another invalid character")
    assert hub.requests == []
    for token, message in (("hf_" + "n" * 34, "does not accept the token"), (READ_TOKEN, "of ada is read-only")):
        monkeypatch.setattr("zoo.hub.remote.get_token", lambda token=token: token)
        refused(small, message)


def test_a_login_is_as_good_as_the_variable(hub, api, small, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    Path(constants.HF_TOKEN_PATH).parent.mkdir(exist_ok=True)
    Path(constants.HF_TOKEN_PATH).write_text(TOKEN)
    assert publish(small, REPO).changed


def test_a_private_repository_without_access(hub, api, small, monkeypatch):
    publish(small, REPO, PublishOptions(private=True))
    monkeypatch.setenv("HF_TOKEN", OTHER_TOKEN)
    refused(small, "bob does not belong to an organisation 'primer-zoo'; choose from: bob")
    refused(small, "does not exist, or is private and this account has no access", PublishOptions(create_pr=True))
    monkeypatch.setenv("HF_TOKEN", TOKEN)  # of the organisation, but this repository is not for all of it
    hidden = Fault("404", matching="GET /api/models", times=None, headers={"X-Error-Code": "RepoNotFound"})
    with hub.failing(hidden):
        refused(small, "does not exist, or is private and this account has no access")


def test_a_token_without_permission_for_this_repository(hub, api, small):
    """A fine-grained token looks like one that writes until it is refused."""
    hub.state.tokens[TOKEN].role = "fineGrained"
    with hub.failing(Fault("403", matching="repos/create")):
        refused(small, "this token may not write to primer-zoo/small")


def test_private_is_not_asked_of_a_public_repository(hub, api, small):
    publish(small, REPO)
    (small / "config.json").write_text("{}")
    refused(small, "primer-zoo/small is public", PublishOptions(private=True))


def test_the_network_is_down(hub, api, small, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    refused(small, "http://127.0.0.1:9 does not answer .*: is the network up")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused(small, "unset it to publish")


def test_server_errors_are_waited_for(hub, api, small, monkeypatch):
    waits = []
    monkeypatch.setattr("zoo.hub.remote.WAITS", (1.0, 2.0, 4.0, 8.0))
    monkeypatch.setattr("time.sleep", waits.append)
    with hub.failing(Fault("503", times=3, matching="whoami"), Fault("502", times=2, matching="POST .*/commit/")):
        assert publish(small, REPO).changed
    assert waits == [1.0, 2.0, 4.0, 1.0, 2.0] and len(hub.repo(REPO).history()) == 2
    waits.clear()
    (small / "config.json").write_text("{}")
    busy = [Fault("429", matching=matching, headers={"Retry-After": "7"}) for matching in ("whoami", "/commit/")]
    with hub.failing(*busy):
        assert publish(small, REPO).changed
    assert waits == [7.0, 7.0]
    with hub.failing(Fault("503", times=None)):
        refused(small, r"server error \(503\), 5 times")


def test_another_commit_meanwhile(hub, api, small):
    publish(small, REPO)
    (small / "config.json").write_text("{}")
    intruder = Fault("500", at=0, times=0, matching="preupload")  # hits nothing, but sees the moment

    def meanwhile(line, hits=intruder.hits):
        if "preupload" in line and not intruder.seen:
            hub.repo(REPO).put("late.txt", b"late")
        return hits(line)

    intruder.hits = meanwhile
    with hub.failing(intruder):
        refused(small, "got another commit meanwhile: look at it, and run the same command again")
    assert hub.repo(REPO).history()[0] == "Put late.txt"
    assert publish(small, REPO).changed and on_hub(hub) == local(small) | {"late.txt": b"late"}


def test_metadata_that_the_hub_refuses(hub, api, small):
    card = (small / "README.md").read_text()
    (small / "README.md").write_text(card.replace("license: mit", "license: [mit]"))
    refused(small, "Invalid metadata in README.md")


# The card on the Hub


def edit_on_hub(hub, text: str) -> None:
    card = on_hub(hub)["README.md"].decode()
    card = card.replace("<!-- end: about -->", f"<!-- end: about -->\n\n{text}")
    hub.repo(REPO).put("README.md", card.encode())


def own_text(hub) -> dict[str, str]:
    return Card.parse(on_hub(hub)["README.md"].decode()).own


def test_edits_on_the_hub_survive_publishing(hub, api, small, tmp_path):
    publish(small, REPO)
    edit_on_hub(hub, "Thanks, says ada.")
    before = (small / "README.md").read_text()
    (small / "README.md").write_text(before.replace("0.5", "0.6"))
    publish(small, REPO)
    assert own_text(hub) == {"about": "Thanks, says ada."}
    (small / "README.md").write_text(before.replace("0.5", "0.7"))  # another folder, made without that text
    publish(small, REPO)
    card = on_hub(hub)["README.md"].decode()
    assert own_text(hub) == {"about": "Thanks, says ada."} and "0.7" in card and "0.6" not in card


def test_own_text_on_both_sides(hub, api, small):
    card = Card.parse((small / "README.md").read_text())
    (small / "README.md").write_text(Card(card.head, card.blocks, {"results": "Mine."}).render())
    publish(small, REPO)
    (small / "README.md").write_text(Card(card.head, card.blocks, {"results": "Mine, second thoughts."}).render())
    publish(small, REPO)  # only I wrote there
    assert own_text(hub) == {"results": "Mine, second thoughts."}
    edit_on_hub(hub, "Theirs.")
    refused(small, "somebody edited the card of primer-zoo/small, and yours has other text")
    assert publish(small, REPO, PublishOptions(overwrite_card=True)).changed
    assert own_text(hub) == {"results": "Mine, second thoughts."}


def test_somebody_else_s_card_is_not_overwritten(hub, api, small):
    api.create_repo(REPO)
    hub.repo(REPO).put("README.md", b"---\nlicense: mit\n---\n\n# By hand\n")
    refused(small, "has a card that this library did not write")
    assert publish(small, REPO, PublishOptions(overwrite_card=True)).changed
    for content in (b"---\na: [\n---\n", b"\xff\xfe"):
        hub.repo(REPO).put("README.md", content)
        refused(small, "the card of primer-zoo/small cannot be read .*--overwrite_card")
        assert publish(small, REPO, PublishOptions(overwrite_card=True)).changed


# After the upload


def test_a_damaged_download_names_both_checksums(hub, api, small, tmp_path):
    published = publish(small, REPO)
    stored = hub.repo(REPO).tree()["model.safetensors"]
    stored.content = b"\x01" + stored.content[1:]  # the same size: the client notices nothing
    message = "model.safetensors .* has sha256 [0-9a-f]{64}, but [0-9a-f]{64} was uploaded"
    with pytest.raises(PublishError, match=message):
        download(published, tmp_path / "cache")
