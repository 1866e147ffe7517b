"""`zoo.train`, `zoo.tune` and `zoo.publish`: the commands as functions, for notebooks and own code."""

import contextlib
import io
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.training.recipe import UsageError

if TYPE_CHECKING:  # torch and transformers are imported when a function is called
    from zoo.record import RunRecord


@contextlib.contextmanager
def _set_aside(folder: Path) -> Iterator[None]:
    """Within it, the folder is free; the earlier run that was there comes back after an error.

    Raises:
        UsageError: The folder holds something other than a run.
    """
    if not folder.exists():
        yield
        return
    is_run, is_search = (folder / "recipe.yaml").is_file(), (folder / "asked.json").is_file()
    if not is_run and not is_search:
        raise UsageError(f"overwrite=True: {folder} holds no run; name another output_dir")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        earlier = folder.rename(Path(temporary) / "earlier")
        try:
            yield
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            earlier.rename(folder)
            raise


def _output(quiet: bool) -> contextlib.AbstractContextManager[object]:
    """Within it, nothing is printed if `quiet`."""
    return contextlib.redirect_stdout(io.StringIO()) if quiet else contextlib.nullcontext()


def train(
    recipe: str,
    output_dir: str | None = None,
    *,
    data: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    model_name_or_path: str | None = None,
    skip_test: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> "RunRecord":
    """Train by a recipe, as `zoo train` does: data, model, Trainer, metrics of every split, all in one folder.

    ```python
    >>> record = zoo.train("fashion-cnn-course", "runs/mine", model={"classifier_dropout": 0.5})
    >>> record.metrics["test"]["accuracy"], record.fit["verdict"]
    >>> pipeline("image-classification", model="runs/mine")("garment.png")
    ```

    Args:
        recipe: Id of a recipe, or the path of a YAML file.
        output_dir: Folder of the run; default: `runs/<recipe>`.
        data: Fields of the task's data arguments in place of the recipe's, such as `{"train_file": "mine.csv"}`.
        model: Fields of the family's config in place of the recipe's.
        training: Fields of [`ZooTrainingArguments`] in place of the recipe's.
        model_name_or_path: Weights to start from: a folder, the id of a shipped model, or a Hub id.
        skip_test: Do not measure the test split.
        overwrite: Replace an earlier run in `output_dir`; it stays if the new one fails.
        quiet: Print nothing, and show no progress.

    Returns:
        What results.json holds: `metrics`, `history`, `fit`, ...

    Raises:
        UsageError: A recipe, field or value does not exist, or `output_dir` holds an earlier run.
        FileNotFoundError, ValueError: The data is missing or damaged.
    """
    from zoo.training.command_line import parse_run
    from zoo.training.run import run
    from zoo.tuning.overrides import flags_of

    argv = [str(recipe), *flags_of({"data": data or {}, "model": model or {}, "training": training or {}})]
    argv += ["--model_name_or_path", str(model_name_or_path)] if model_name_or_path else []
    argv += ["--output_dir", str(output_dir)] if output_dir else []
    argv += ["--skip_test"] if skip_test else []
    argv += ["--disable_tqdm", "true"] if quiet else []
    settings = parse_run(argv)
    folder = Path(settings.training.output_dir)
    with _set_aside(folder) if overwrite else contextlib.nullcontext(), _output(quiet):
        record = run(settings, argv)
    if record is None:  # of several processes only the first one has it
        from zoo.record import RunRecord

        return RunRecord.read(folder)
    return record


def tune(
    recipe: str,
    output_dir: str | None = None,
    *,
    space: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    final_seeds: tuple[int, ...] = (),
    overwrite: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """Search the best values of a recipe's fields with Ray Tune, as `zoo tune` does.

    ```python
    >>> space = {"training.learning_rate": {"loguniform": [1e-4, 1e-1]}, "model.dense_sizes": [[], [32]]}
    >>> search = zoo.tune("fashion-cnn-course", space=space, trials=8, epochs=2)
    >>> search["best"]["point"]
    ```

    Args:
        recipe: Id of a recipe, or the path of a YAML file.
        output_dir: Folder of the search; default: `runs/tune/<recipe>`.
        space: `section.field` -> choices, a range, or one value that fixes it. They are added to the recipe's own
            space, in place of fields that it has; without one, they are all that is searched.
        data: Fields of the data arguments, for every trial.
        training: Fields of the training arguments, for every trial.
        final_seeds: Train winner and default at full length with these seeds, and measure both on the test split.
        overwrite: Replace an earlier search in `output_dir`; it stays if the new one fails.
        quiet: Print nothing.
        settings: Other flags of `zoo tune`: `trials`, `epochs`, `algorithm`, `scheduler`, `minutes`, `jobs`, ...

    Returns:
        What search.json holds: `trials` from the best to the failed ones, `best`, `importance`, ...

    Raises:
        UsageError: A recipe, field or setting does not exist, or `output_dir` holds an earlier search.
        RuntimeError: No trial succeeded.
    """
    import shlex

    from zoo.tuning.overrides import flags_of, plain
    from zoo.tuning.search import make_search

    from .tune import make_parser

    argv = [str(recipe), *flags_of({"data": data or {}, "training": training or {}})]
    for name, value in (space or {}).items():
        argv += ["--space", f"{name}={plain(value)}"]
    for name, value in settings.items():
        if value is True:  # `resume=True` is `--resume`
            argv.append(f"--{name}")
        elif value is not False:
            argv += [f"--{name}", plain(value)]
    argv += ["--output_dir", str(output_dir)] if output_dir else []
    arguments, flags = make_parser().parse_known_args(argv)
    search = make_search(arguments, flags, shlex.join(["zoo", "tune", *argv]))
    with _set_aside(search.folder) if overwrite else contextlib.nullcontext(), _output(quiet):
        search.run(arguments.address, arguments.jobs, arguments.resume, list(final_seeds))
    return json.loads((search.folder / "search.json").read_text(encoding="utf-8"))


def publish(
    folder: str,
    repo_id: str,
    *,
    dry_run: bool = False,
    max_samples: int = 256,
    formats: Sequence[str] = (),
    **options: Any,
) -> None:
    """Put a finished run on the Hub with its card and code, checked before and after, as `zoo publish` does.

    ```python
    >>> zoo.publish("runs/mine", "me/my-classifier", dry_run=True)
    ```

    Args:
        folder: Folder of a finished run, a card folder, or the id of a shipped model.
        repo_id: ORGANISATION/NAME.
        dry_run: Do everything but send.
        max_samples: Rows that are measured again; 0 measures nothing.
        formats: Exports in the same commit: "onnx", "ctranslate2".
        options: Fields of [`~zoo.hub.options.PublishOptions`]: `tag`, `private`, `create_pr`, `revision`, ...

    Raises:
        UsageError: There is no such folder or model.
        ValueError: A name is not valid, or the folder cannot be published.
        PublishError: No token, no permission, no network, ...
    """
    from zoo.hub.options import PublishOptions

    from .publish import check_account, check_formats, find_folder, publish_folder

    if max_samples < 0:
        raise UsageError(f"max_samples={max_samples} must be 0 (measure nothing) or more")
    check_formats(formats)
    publish_options = PublishOptions(**options)
    publish_options.check(repo_id)
    source = find_folder(str(folder))
    if not dry_run:
        check_account(repo_id, publish_options)
    publish_folder(source, repo_id, publish_options, max_samples, dry_run, False, formats)


__all__ = ["publish", "train", "tune"]
