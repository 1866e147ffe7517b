"""`zoo train RECIPE [--flag value ...] [--push_to_hub --hub_model_id ORG/NAME] [--ray_workers N]`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import guarded

if TYPE_CHECKING:
    from zoo.hub.options import PublishOptions
    from zoo.training.arguments import ZooTrainingArguments


def hub_target(training: "ZooTrainingArguments", model_id: str) -> "tuple[str, PublishOptions]":
    """Repository and options of transformers' own flags, checked before anything is trained.

    Raises:
        UsageError: The flags contradict each other.
        PublishError: There is no token, or it may not write there.
    """
    from transformers.trainer_utils import HubStrategy

    from zoo.hub.options import PublishOptions
    from zoo.hub.remote import Remote, find_token
    from zoo.training.recipe import UsageError

    strategy = HubStrategy(training.hub_strategy)
    if strategy != HubStrategy.END:
        raise UsageError(
            f"--hub_strategy {strategy.value}: a run is published whole, after it was measured; leave it out"
        )
    repo_id = training.hub_model_id or model_id
    options = PublishOptions(private=bool(training.hub_private_repo), revision=training.hub_revision or "main")
    token = find_token()
    if "/" not in repo_id:  # of the own account, as for transformers
        repo_id = f"{Remote(f'me/{repo_id}', token).account()['name']}/{repo_id}"
    try:
        options.check(repo_id)
    except ValueError as error:
        raise UsageError(str(error).replace("--repo_id", "--hub_model_id").replace("--rev", "--hub_rev")) from None
    Remote(repo_id, token).check_account()
    return repo_id, options


def publish(folder: str, repo_id: str, options: "PublishOptions") -> None:
    """Publish a finished run; a failure names the command that tries again.

    Raises:
        PublishError: It could not be published.
    """
    from zoo.hub.options import PublishError

    from .publish import publish_folder

    try:
        publish_folder(folder, repo_id, options)
    except PublishError as error:
        again = f"zoo publish {folder} --repo_id {repo_id}"
        again += f" --revision {options.revision}" if options.revision != "main" else ""
        again += " --private" if options.private else ""
        raise PublishError(f"{error}; the run is complete: `{again}` publishes it") from None


def train(argv: list[str]) -> None:
    """Parse the command line, run, and publish the run if `--push_to_hub` is set."""
    from zoo.training.command_line import parse_run
    from zoo.training.recipe import UsageError

    settings = parse_run(argv)

    from zoo.hub.tokens import scrub
    from zoo.training.run import run

    if any(scrub(text) != text for text in (*argv, str(settings.recipe))):
        raise UsageError(
            "the command line or the recipe holds a token, which would be written to results.json: leave it out; it "
            "comes from HF_TOKEN or `hf auth login`"
        )
    target = None
    if settings.training.push_to_hub:
        # The Trainer's own pushes would send pickles, and a card without the measurements.
        settings.training.push_to_hub = False
        if settings.training.process_index == 0:
            target = hub_target(settings.training, settings.recipe.id)
    if settings.run.ray_workers:
        from zoo.scale.ray_train import train_on_workers

        train_on_workers(settings, argv)
    elif run(settings, argv) is None:  # not the first process
        return
    if target is not None:
        publish(settings.training.output_dir, *target)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command."""
    return guarded(train, argv)
