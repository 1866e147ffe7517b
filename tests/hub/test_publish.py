"""Publishing: one commit or none, the same command goes on, and errors that say what to do."""

import os
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.hub.conftest import OTHER_TOKEN, READ_TOKEN, TOKEN
from tests.hub_server import Fault
from zoo.hub.blocks import Card
from zoo.hub.publish import Wish, publish
from zoo.hub.remote import PublishError, check_names
from zoo.hub.verify import check_download, download, registry_entry

REPO = "primer-zoo/small"


def local(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def on_hub(hub, revision: str = "main", repo: str = REPO) -> dict[str, bytes]:
    files = hub.repo(repo).files(revision)
    files.pop(".gitattributes")
    return files


def commits(hub) -> int:
    return sum("/commit/" in line for line in hub.requests)


def test_all_files_in_one_commit_tagged_and_verified(hub, api, small):
    said = []
    published = publish(small, REPO, Wish(tag="v1.0.0", message="First"), said.append)
    repo = hub.repo(REPO)
    assert on_hub(hub) == on_hub(hub, "v1.0.0") == local(small)
    assert [commit["title"] for commit in repo.history("main")] == ["First", "initial commit"]
    assert (published.commit, published.changed, published.revision) == (repo.resolve("main"), True, "v1.0.0")
    assert published.url == f"{hub.url}/{REPO}/tree/v1.0.0" and not repo.settings["private"]
    assert said == [f"made {REPO}", "uploading 5 files"]
    assert "5 files with the same checksums" in check_download(published, small, None, None)
    entry = registry_entry(published)
    assert entry["commit"] == published.commit and set(entry["files"]) == {"config.json", "model.safetensors"}


def test_unchanged_content_makes_no_commit(hub, api, small):
    first = publish(small, REPO, Wish(tag="v1.0.0"))
    hub.requests.clear()
    again = publish(small, REPO, Wish(tag="v1.0.0"))
    assert (again.commit, again.changed) == (first.commit, False)
    assert {line.split()[0] for line in hub.requests} <= {"GET", "HEAD"}


def test_what_changed_is_one_commit_and_what_others_put_there_stays(hub, api, small):
    publish(small, REPO)
    kept = ("notes.txt", "pictures/hand.jpg", "examples/demo.py", "onnx/model.bin", "pictures/sub/mine.png")
    for name in ("pytorch_model.bin", "old_layers.py", "pictures/old.png", *kept):
        api.upload_file(path_or_fileobj=b"x", path_in_repo=name, repo_id=REPO)
    (small / "config.json").write_text('{"model_type": "other"}')
    hub.requests.clear()
    said = []
    assert publish(small, REPO, say=said.append).changed and commits(hub) == 1
    assert on_hub(hub) == local(small) | {name: b"x" for name in kept}
    assert said == ["uploading 1 files, removing old_layers.py, pictures/old.png, pytorch_model.bin"]


def test_private_repositories_and_branches(hub, api, small):
    publish(small, REPO, Wish(private=True))
    assert hub.repo(REPO).settings["private"]
    published = publish(small, REPO, Wish(revision="next"))
    assert not published.changed and hub.repo(REPO).resolve("next") == published.commit
    (small / "config.json").write_text("{}")
    main = hub.repo(REPO).resolve("main")
    assert publish(small, REPO, Wish(revision="next")).changed
    assert on_hub(hub, "next") == local(small) and hub.repo(REPO).resolve("main") == main


def test_a_pull_request_is_opened_once(hub, api, small, monkeypatch):
    publish(small, REPO)
    monkeypatch.setenv("HF_TOKEN", OTHER_TOKEN)
    wish = Wish(create_pr=True)
    assert not publish(small, REPO, wish).changed and not hub.repo(REPO).pulls()
    (small / "config.json").write_text("{}")
    published = publish(small, REPO, wish)
    assert (published.changed, published.url) == (True, f"{hub.url}/{REPO}/discussions/1")
    again = publish(small, REPO, wish)
    assert (again.changed, again.url, again.commit) == (False, published.url, published.commit)
    assert list(hub.repo(REPO).pulls()) == [1] and on_hub(hub, "refs/pr/1") == local(small)
    assert "5 files" in check_download(again, small, None, None)


def test_a_tag_is_never_moved(hub, api, small):
    first = publish(small, REPO, Wish(tag="v1.0.0"))
    (small / "config.json").write_text("{}")
    with pytest.raises(PublishError, match="the tag v1.0.0 of primer-zoo/small names other files"):
        publish(small, REPO, Wish(tag="v1.0.0"))
    assert hub.repo(REPO).resolve("main") == first.commit
    assert publish(small, REPO, Wish(tag="v1.0.1")).commit != first.commit
    assert hub.repo(REPO).refs("tags")["v1.0.0"] == first.commit


def test_branches_and_tags_are_not_taken_for_each_other(hub, api, small):
    """What is refused leaves no trace: no commit, no branch, no repository."""
    publish(small, REPO, Wish(tag="v1.0.0"))
    api.create_branch(REPO, branch="next")
    (small / "config.json").write_text("{}")
    before = {kind: hub.repo(REPO).refs(kind) for kind in ("heads", "tags")}
    refused(small, "next is a branch of primer-zoo/small: choose another name for the tag", Wish(tag="next"))
    refused(small, "v1.0.0 is a tag of primer-zoo/small: --revision names a branch", Wish(revision="v1.0.0"))
    refused(small, "the tag v1.0.0 of .* names other files", Wish(tag="v1.0.0", revision="other"))
    refused(small, "primer-zoo/small has no refs/pr/9", Wish(revision="refs/pr/9"))
    assert {kind: hub.repo(REPO).refs(kind) for kind in ("heads", "tags")} == before
    refused(small, "primer-zoo/new does not exist", Wish(revision="refs/pr/9"), repo="primer-zoo/new")
    assert not api.repo_exists("primer-zoo/new")


def test_a_card_that_was_edited_after_the_tag_is_no_other_version(hub, api, small):
    first = publish(small, REPO, Wish(tag="v1.0.0"))
    edit_on_hub(api, hub, "Thanks, says ada.")
    head = hub.repo(REPO).resolve("main")
    again = publish(small, REPO, Wish(tag="v1.0.0"))
    assert (again.changed, again.commit) == (False, first.commit) and hub.repo(REPO).resolve("main") == head
    before = (small / "README.md").read_text()
    second = publish(small, REPO, Wish(tag="v1.0.1"))
    assert own_text(hub) == {"about": "Thanks, says ada."}
    (small / "README.md").write_text(before)  # staged anew, without that text
    again = publish(small, REPO, Wish(tag="v1.0.1"))
    assert (again.changed, again.commit) == (False, second.commit)


BAD_REPOSITORIES = ["small", "a/b/c", "../small", "primer-zoo/..", "primer-zoo/a b", "primer-zoo/", "-a/b", "a/b.git"]
BAD_REPOSITORIES += [
    "a/x--y",
    "a/é",
    "a/" + "x" * 200,
    "https://evil.example/a",
    "a/b?x=1",
    "a/b#c",
    "a/b\n",
    "a/modèle",
]
BAD_REFS = [
    "a b",
    "a..b",
    "-x",
    "x.lock",
    "a~1",
    "@{",
    "",
    "a//b",
    "x/",
    "refs/heads/x",
    "0" * 40,
    "@",
    "HEAD",
    "v\udcff",
]


@pytest.mark.parametrize("repo_id", BAD_REPOSITORIES)
def test_names_of_repositories_are_checked_before_any_request(hub, api, small, repo_id):
    with pytest.raises(ValueError, match="--repo_id .* is no repository"):
        publish(small, repo_id)
    assert hub.requests == []


@pytest.mark.parametrize("name", BAD_REFS)
def test_names_of_branches_and_tags_are_checked_before_any_request(hub, api, small, name):
    for wish in (Wish(revision=name), Wish(tag=name)):
        with pytest.raises(ValueError, match="--(revision|tag)"):
            publish(small, REPO, wish)
    assert hub.requests == []
    check_names(REPO, "refs/pr/3", "v1.0.0-rc1")


@pytest.mark.parametrize(
    "wish", [Wish(create_pr=True, tag="v1"), Wish(create_pr=True, revision="x"), Wish(create_pr=True, private=True)]
)
def test_contradictions_are_told_before_any_request(hub, api, small, wish):
    with pytest.raises(ValueError, match="--create_pr"):
        publish(small, REPO, wish)
    for wish in (Wish(tag="main"), Wish(tag="next", revision="next")):
        with pytest.raises(ValueError, match="--tag '(main|next)' is the name of a branch"):
            publish(small, REPO, wish)
    assert hub.requests == []


# Errors for people


def refused(small, match, wish=None, repo=REPO):
    with pytest.raises(PublishError, match=match) as caught:
        publish(small, repo, wish)
    assert "\n" not in str(caught.value)
    for token in (TOKEN, READ_TOKEN, OTHER_TOKEN):
        assert token not in str(caught.value)


def test_no_token_and_tokens_that_cannot_be(hub, api, small, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    refused(small, "no token: set HF_TOKEN to one that may write, or log in with `hf auth login`")
    for token in ("hf_with a space", "hf_\x07bell", "hf_ünï", "hf_\ud800"):
        monkeypatch.setattr("zoo.hub.remote.get_token", lambda token=token: token)
        refused(small, "holds a space or another sign that no token has")
    assert hub.requests == []


def test_invalid_and_read_only_tokens(hub, api, small, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "n" * 34)
    refused(small, "the Hub does not accept the token")
    monkeypatch.setenv("HF_TOKEN", READ_TOKEN)
    refused(small, "the token of ada only reads: make one with write permission")


def test_a_login_is_as_good_as_the_variable(hub, api, small, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    Path(constants.HF_TOKEN_PATH).parent.mkdir(exist_ok=True)
    Path(constants.HF_TOKEN_PATH).write_text(TOKEN)
    assert publish(small, REPO).changed


def test_no_such_organisation(hub, api, small):
    message = "there is no organisation 'elsewhere' that ada belongs to; yours: ada, primer-zoo"
    refused(small, message, repo="elsewhere/a")


def test_a_name_that_a_dataset_has(hub, api, small):
    api.create_repo(REPO, repo_type="dataset")
    refused(small, "primer-zoo/small is the name of a dataset already")


def test_a_private_repository_without_access(hub, api, small, monkeypatch):
    publish(small, REPO, Wish(private=True))
    monkeypatch.setenv("HF_TOKEN", OTHER_TOKEN)
    refused(small, "there is no organisation 'primer-zoo' that bob belongs to")
    refused(small, "does not exist, or is private and this account has no access", Wish(create_pr=True))
    monkeypatch.setenv("HF_TOKEN", TOKEN)  # of the organisation, but this repository is not for all of it
    hidden = Fault("404", matching="GET /api/models", times=None, headers=(("X-Error-Code", "RepoNotFound"),))
    with hub.failing(hidden):
        refused(small, "does not exist, or is private and this account has no access")


def test_a_token_without_permission_for_this_repository(hub, api, small):
    """A fine-grained token looks like one that writes until it is refused."""
    hub.accounts.tokens[TOKEN].role = "fineGrained"
    with hub.failing(Fault("403", matching="repos/create")):
        refused(small, "this token may not write to primer-zoo/small")


def test_private_is_not_asked_of_a_public_repository(hub, api, small):
    publish(small, REPO)
    (small / "config.json").write_text("{}")
    refused(small, "primer-zoo/small is public", Wish(private=True))


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
    assert waits == [1.0, 2.0, 4.0, 1.0, 2.0] and len(hub.repo(REPO).history("main")) == 2
    waits.clear()
    (small / "config.json").write_text("{}")
    busy = [Fault("429", matching=matching, headers=(("Retry-After", "7"),)) for matching in ("whoami", "/commit/")]
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
            repo = hub.repo(REPO)
            tree = dict(repo.tree("main")) | {"late.txt": repo.add_blob(b"late")}
            repo.set_ref("heads/main", repo.write_commit(repo.resolve("main"), tree, "Late", "", "ada"))
        return hits(line)

    intruder.hits = meanwhile
    with hub.failing(intruder):
        refused(small, "got another commit meanwhile: look at it, and run the same command again")
    assert hub.repo(REPO).history("main")[0]["title"] == "Late"
    assert publish(small, REPO).changed and on_hub(hub) == local(small) | {"late.txt": b"late"}


def test_metadata_that_the_hub_refuses(hub, api, small):
    card = (small / "README.md").read_text()
    (small / "README.md").write_text(card.replace("license: mit", "license: [mit]"))
    refused(small, "Invalid metadata in README.md")


# The card on the Hub


def edit_on_hub(api, hub, text: str) -> None:
    card = hub.repo(REPO).read("main", "README.md").decode()
    card = card.replace("<!-- end: about -->", f"<!-- end: about -->\n\n{text}")
    api.upload_file(path_or_fileobj=card.encode(), path_in_repo="README.md", repo_id=REPO, commit_message="Edit")


def own_text(hub) -> dict[str, str]:
    return Card.parse(hub.repo(REPO).read("main", "README.md").decode()).own


def test_edits_on_the_hub_survive_publishing(hub, api, small, tmp_path):
    publish(small, REPO)
    edit_on_hub(api, hub, "Thanks, says ada.")
    before = (small / "README.md").read_text()
    (small / "README.md").write_text(before.replace("0.5", "0.6"))
    publish(small, REPO)
    assert own_text(hub) == {"about": "Thanks, says ada."}
    (small / "README.md").write_text(before.replace("0.5", "0.7"))  # another folder, made without that text
    publish(small, REPO)
    card = hub.repo(REPO).read("main", "README.md").decode()
    assert own_text(hub) == {"about": "Thanks, says ada."} and "0.7" in card and "0.6" not in card


def test_own_text_on_both_sides(hub, api, small):
    card = Card.parse((small / "README.md").read_text())
    (small / "README.md").write_text(Card(card.head, card.blocks, {"results": "Mine."}).render())
    publish(small, REPO)
    (small / "README.md").write_text(Card(card.head, card.blocks, {"results": "Mine, second thoughts."}).render())
    publish(small, REPO)  # only I wrote there
    assert own_text(hub) == {"results": "Mine, second thoughts."}
    edit_on_hub(api, hub, "Theirs.")
    refused(small, "somebody edited the card of primer-zoo/small, and yours has other text")
    assert publish(small, REPO, Wish(overwrite_card=True)).changed
    assert own_text(hub) == {"results": "Mine, second thoughts."}


def test_somebody_else_s_card_is_not_overwritten(hub, api, small):
    api.create_repo(REPO)
    api.upload_file(path_or_fileobj=b"---\nlicense: mit\n---\n\n# By hand\n", path_in_repo="README.md", repo_id=REPO)
    refused(small, "has a card that this library did not write")
    assert publish(small, REPO, Wish(overwrite_card=True)).changed
    repo = hub.repo(REPO)
    for content in (b"---\na: [\n---\n", b"\xff\xfe"):
        tree = repo.tree("main") | {"README.md": repo.add_blob(content)}
        repo.set_ref("heads/main", repo.write_commit(repo.resolve("main"), tree, "Damaged", "", "ada"))
        refused(small, "the card of primer-zoo/small cannot be read .*--overwrite_card")
        assert publish(small, REPO, Wish(overwrite_card=True)).changed


# After the upload


def test_a_damaged_download_names_both_checksums(hub, api, small, tmp_path):
    published = publish(small, REPO)
    repo = hub.repo(REPO)
    stored = repo.path_of(repo.tree("main")["model.safetensors"])
    stored.write_bytes(b"\x01" + stored.read_bytes()[1:])  # the same size: the client notices nothing
    message = "model.safetensors .* has sha256 [0-9a-f]{64}, but [0-9a-f]{64} was uploaded"
    with pytest.raises(PublishError, match=message):
        download(published, tmp_path / "cache")


def test_the_library_takes_the_token_from_nowhere_else():
    from zoo.commands.publish import make_parser

    flags = [option for action in make_parser()._actions for option in action.option_strings]
    assert not any("token" in flag for flag in flags)
    assert "HF_TOKEN" not in os.environ
