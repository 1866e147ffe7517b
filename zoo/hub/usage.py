"""Run the code examples of a card and record their outputs."""

import shutil
import tempfile
from pathlib import Path

from zoo.record import RunRecord

from .card import Example, build_card
from .clean import Workers
from .code import add_code
from .options import check_names


def run_example(example: Example, folder: Path, record: RunRecord, workers: Workers) -> dict[str, str]:
    """Run an example on a staged folder in place of the repository that it names; its code and output.

    Raises:
        ValueError: It fails.
    """
    repo_id, here = record.usage["repo_id"], repr(str(folder))
    code = example.code.replace(f'zoo.pretrained("{repo_id.split("/")[-1]}")', here).replace(f'"{repo_id}"', here)
    worker = workers.without_library if example.without_library else workers.with_library
    try:
        return {"code": example.code, "output": worker.ask("run", code=code)["output"]}
    except RuntimeError as error:
        raise ValueError(f"the example {example.name!r} of the card of {record.model_id} fails: {error}") from None


def run_examples(folder: Path, record: RunRecord, repo_id: str, revision: str | None, workers: Workers) -> None:
    """Run the examples of a record's card, and put code and outputs into `record.usage`.

    Examples that ran before with these weights are not run again. They name `repo_id`, and one pins `revision`.

    Raises:
        ValueError: An example fails, or the name of the repository or tag is invalid.
    """
    known = record.usage.get("examples", {}) if record.usage.get("weights_sha256") == record.weights_sha256 else {}
    check_names(repo_id, tag=revision)  # they are part of code that is run
    record.usage = {"repo_id": repo_id, "weights_sha256": record.weights_sha256}
    if revision:
        record.usage["revision"] = revision
    _, examples = build_card(record)
    ran = {e.name: known[e.name] for e in examples if known.get(e.name, {}).get("code") == e.code}
    missing = [example for example in examples if example.name not in ran]
    if missing:
        print(f"running {len(missing)} examples of the card", flush=True)
        with tempfile.TemporaryDirectory(prefix="zoo-examples-") as temporary:
            copy = Path(shutil.copytree(folder, Path(temporary) / record.model_id))
            add_code(copy, record)
            ran |= {example.name: run_example(example, copy, record, workers) for example in missing}
    record.usage["examples"] = {example.name: ran[example.name] for example in examples}


__all__ = ["run_examples"]
