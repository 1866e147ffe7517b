"""`zoo train RECIPE [--flag value ...] [--push_to_hub --hub_model_id ORG/NAME]`."""

from collections.abc import Sequence
from typing import Any

from . import guarded


def hub_target(training: Any, model_id: str) -> tuple[str, Any]:
    """(repository, wish) of transformers' own flags, checked before anything is trained.

    Raises:
        UsageError: The flags cannot be done.
        PublishError: No token, or none that may write there.
    """
    from zoo.hub.publish import Wish
    from zoo.hub.remote import Remote, find_token
    from zoo.training.recipe import UsageError

    strategy = str(getattr(training.hub_strategy, "value", training.hub_strategy))
    if strategy != "end":
        raise UsageError(
            f"--hub_strategy {strategy}: a run is published whole, when it has been measured; leave it out"
        )
    repo_id = training.hub_model_id or model_id
    wish = Wish(private=bool(training.hub_private_repo), revision=training.hub_revision or "main")
    token = find_token()
    if "/" not in repo_id:  # the account's own, as for transformers
        repo_id = f"{Remote(f'me/{repo_id}', token).account()['name']}/{repo_id}"
    try:
        wish.check(repo_id)
    except ValueError as error:
        raise UsageError(str(error).replace("--repo_id", "--hub_model_id").replace("--rev", "--hub_rev")) from None
    Remote(repo_id, token).check_account()
    return repo_id, wish


def train(argv: list[str]) -> None:
    """Parse the command line, run, and publish the run if that is asked for."""
    from zoo.hub.tokens import scrub
    from zoo.training.command_line import parse_run
    from zoo.training.recipe import UsageError
    from zoo.training.run import run

    settings = parse_run(argv)
    if any(scrub(text) != text for text in (*argv, str(settings.recipe))):
        raise UsageError(
            "a token stands on the command line or in the recipe, and would be kept in results.json: leave it out; it "
            "comes from HF_TOKEN or `hf auth login`"
        )
    target = None
    if settings.training.push_to_hub:
        # The Trainer's own pushes would send pickles, and a card that knows nothing of the measurements.
        settings.training.push_to_hub = False
        if settings.training.process_index == 0:
            target = hub_target(settings.training, settings.recipe.id)
    if run(settings, argv) is not None and target is not None:
        from zoo.hub.remote import PublishError

        from .publish import publish_folder

        try:
            publish_folder(settings.training.output_dir, *target)
        except PublishError as error:
            repo_id, wish = target
            again = f"zoo publish {settings.training.output_dir} --repo_id {repo_id}"
            again += f" --revision {wish.revision}" if wish.revision != "main" else ""
            again += " --private" if wish.private else ""
            raise PublishError(f"{error}; the run is finished and whole: `{again}` publishes it") from None


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command."""
    return guarded(train, argv)
