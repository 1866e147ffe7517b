"""Where a published model lies: a shipped folder, or its repository on the Hub."""

from pathlib import Path

ORGANISATION = "primer-zoo"
_HERE = Path(__file__).parent
# In an installed package the wheel puts the cards inside it; in a checkout they lie beside it.
_PLACES = (_HERE / "model_cards", _HERE.parent / "model_cards")


def shipped_models() -> dict[str, Path]:
    """Id -> folder of each model that came with this installation."""
    place = next((place for place in _PLACES if place.is_dir()), None)
    folders = sorted(place.iterdir()) if place else []
    return {folder.name: folder for folder in folders if (folder / "config.json").is_file()}


def pretrained(model_id: str) -> str:
    """What to give to any `from_pretrained` or `pipeline` for a model of this library.

    ```python
    >>> AutoModelForImageClassification.from_pretrained(zoo.pretrained("fashion-cnn"))
    ```

    Args:
        model_id: An id such as "fashion-cnn" (`zoo list` shows them).

    Returns:
        The shipped folder; the Hub id of a model that has a recipe but did not come with this installation.

    Raises:
        ValueError: There is no such model.
    """
    shipped = shipped_models()
    if model_id in shipped:
        return str(shipped[model_id])
    recipes = {path.stem for path in (_HERE / "recipes").glob("*.yaml")}
    if model_id in recipes:
        return f"{ORGANISATION}/{model_id}"
    from .registry import nearest

    raise ValueError(f"no model {model_id!r}; {nearest(model_id, sorted({*shipped, *recipes}))}")


__all__ = ["pretrained", "shipped_models"]
