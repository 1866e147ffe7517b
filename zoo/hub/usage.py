"""The code examples of a card, run: what stands below them is what they printed."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from zoo.record import RunRecord

from .card import Example, build_card
from .clean import Workers
from .code import add_code
from .remote import check_names


def run_example(example: Example, folder: Path, record: RunRecord, workers: Workers) -> str:
    """What an example prints, with a staged folder in the place of the repository that it names.

    Raises:
        ValueError: It fails.
    """
    repo_id = record.usage["repo_id"]
    here = repr(str(folder))
    replaced = {f'zoo.pretrained("{repo_id.split("/")[-1]}")': here, f'"{repo_id}"': here}
    worker = workers.without_library if example.without_library else workers.with_library
    try:
        return worker.ask("run", code=example.code, replaced=replaced)["output"]
    except RuntimeError as error:
        raise ValueError(f"the example {example.name!r} of the card of {record.model_id} fails: {error}") from None


def run_examples(folder: Path, record: RunRecord, repo_id: str, revision: str | None, workers: Workers) -> None:
    """Run the examples of a record's card against a staged folder, and put code and outputs into `record.usage`.

    What already ran with these weights is not run again.

    Raises:
        ValueError: An example fails, or the repository or revision cannot be.
    """
    known = record.usage.get("examples", {}) if record.usage.get("weights_sha256") == record.weights_sha256 else {}
    check_names(repo_id, tag=revision)  # they stand in code that is run
    record.usage = {"repo_id": repo_id, "weights_sha256": record.weights_sha256}
    if revision:
        record.usage["revision"] = revision
    _, examples = build_card(record)
    ran: dict[str, Any] = {}
    missing = [example for example in examples if known.get(example.name, {}).get("code") != example.code]
    if missing:
        with tempfile.TemporaryDirectory(prefix="zoo-examples-") as temporary:
            copy = Path(temporary) / record.model_id
            shutil.copytree(folder, copy)
            add_code(copy, record)
            ran = {e.name: {"code": e.code, "output": run_example(e, copy, record, workers)} for e in missing}
    record.usage["examples"] = {example.name: ran.get(example.name, known.get(example.name)) for example in examples}


__all__ = ["run_examples"]
