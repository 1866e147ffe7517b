"""Commits as the client sends them: a line of JSON for the header and one for each file."""

import base64
import json
import re
from typing import Any

import yaml

from .storage import HubError, Repo

BAD_PATH = re.compile(r"(^|/)(\.\.?|\.git)(/|$)|^/|\\")


def check_card(text: str) -> tuple[list[str], list[str]]:
    """(errors, warnings) of a README's metadata, in the Hub's spirit; its own rules are richer."""
    match = re.match(r"---\r?\n(.*?)\r?\n---\r?(\n|$)", text, flags=re.S)
    if match is None:
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        head = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        return [f"YAML: {str(error).splitlines()[0]}"], []
    if not isinstance(head, dict):
        return ["metadata must be a mapping"], []
    errors = []
    for key in ("license", "pipeline_tag", "library_name"):
        if not isinstance(head.get(key, ""), str):
            errors.append(f'"{key}" must be a string')
    for key in ("tags", "datasets", "metrics", "language"):
        values = head.get(key, [])
        values = values if isinstance(values, list) else [values]
        if not all(isinstance(value, str) for value in values):
            errors.append(f'"{key}" must be a string or an array of strings')
    for number, model in enumerate(head.get("model-index") or []):
        for place, result in enumerate(model.get("results", [])):
            for key in ("task", "dataset", "metrics"):
                if key not in result:
                    errors.append(f'"model-index[{number}].results[{place}].{key}" is required')
    return errors, []


def card_head(repo: Repo, tree: dict[str, Any]) -> dict[str, Any]:
    """The metadata of the README at a commit, or {}."""
    if "README.md" not in tree:
        return {}
    text = repo.path_of(tree["README.md"]).read_text(encoding="utf-8", errors="replace")
    match = re.match(r"---\n(.*?)\n---", text, flags=re.S)
    try:
        head = yaml.safe_load(match[1]) if match else {}
    except yaml.YAMLError:
        head = {}
    return head if isinstance(head, dict) else {}


def parse(body: bytes) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    """(header, [(kind, value)]) of a commit's body."""
    try:
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        return header, [(line["key"], line["value"]) for line in lines if line["key"] != "header"]
    except (ValueError, KeyError, StopIteration, TypeError):
        raise HubError(400, "Malformed commit payload") from None


def apply(repo: Repo, parent: str, body: bytes, author: str) -> str:
    """A new commit on top of `parent`, which no ref points at yet.

    Raises:
        HubError: A path is bad, an object was not uploaded, a deleted file does not exist, the card is invalid.
    """
    header, operations = parse(body)
    expected = header.get("parentCommit")
    if expected is not None and expected != parent:
        raise HubError(412, "A commit has happened since. Please refresh and try again.")
    tree = dict(repo.commit(parent)["tree"])
    for kind, value in operations:
        path = value["path"]
        if BAD_PATH.search(path):
            raise HubError(400, f"Invalid path: {path}")
        if kind == "file":
            content = base64.b64decode(value["content"])
            if path == "README.md" and check_card(content.decode(errors="replace"))[0]:
                raise HubError(400, "Invalid metadata in README.md")
            tree[path] = repo.add_blob(content)
        elif kind == "lfsFile":
            tree[path] = repo.lfs_entry(value["oid"])
        elif kind == "deletedFile":
            if path not in tree:
                raise HubError(404, "A file with this name doesn't exist", "EntryNotFound")
            del tree[path]
        elif kind == "deletedFolder":
            tree = {name: entry for name, entry in tree.items() if not name.startswith(path.rstrip("/") + "/")}
        else:
            raise HubError(400, f"Unknown operation: {kind}")
    return repo.write_commit(parent, tree, header.get("summary", ""), header.get("description", ""), author)
