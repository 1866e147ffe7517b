"""Where a named data set lies on this machine."""

import os
from collections.abc import Sequence
from pathlib import Path


def find_files(
    name: str, filenames: Sequence[str], path: str | os.PathLike | None = None, system_folder: str | None = None
) -> Path | None:
    """The folder that holds all of `filenames`, or None when the Hub has to be asked.

    Looks in `path`, then in `$ZOO_DATA/<name>`, then in `system_folder`, where a system package puts the data.

    Raises:
        FileNotFoundError: `path` is given and lacks a file: a path that a person names is never silently replaced.
    """
    if path is not None:
        missing = [filename for filename in filenames if not (Path(path) / filename).is_file()]
        if missing:
            raise FileNotFoundError(f"{path} does not hold {missing[0]}, which the data set {name} needs")
        return Path(path)
    folders = [Path(os.environ["ZOO_DATA"]) / name] if os.environ.get("ZOO_DATA") else []
    folders += [Path(system_folder)] if system_folder else []
    return next((folder for folder in folders if all((folder / f).is_file() for f in filenames)), None)


def not_found(
    name: str, system_folder: str | None, system_package: str | None, hub_id: str | None, reason: str, advice: str = ""
) -> FileNotFoundError:
    """The one error for a data set that is nowhere: it names the places and what to do.

    Args:
        name: Of the data set, and of its folder under `$ZOO_DATA`.
        system_folder: Where a system package puts it; None if no package has it.
        system_package: That package.
        hub_id: The Hub repository that was asked; None if the Hub does not have it.
        reason: Why it did not answer.
        advice: Where else a person gets it.
    """
    zoo_data = os.environ.get("ZOO_DATA")
    zoo_place = f"{zoo_data}/{name}" if zoo_data else "$ZOO_DATA (not set)"
    places = f"{zoo_place} and {system_folder} do" if system_folder else f"{zoo_place} does"
    what = f"Install it with `apt-get install {system_package}`, or give" if system_package else "Give"
    hub = f"did not answer for {hub_id} ({reason})" if hub_id else "does not have it"
    return FileNotFoundError(
        f"the data set {name} is not there: no --data_dir was given, {places} not hold it, and the Hugging Face Hub "
        f"{hub}. {what} its folder with --data_dir or ZOO_DATA"
        + (", or go online" if hub_id else "")
        + (f"; {advice}" if advice else "")
    )


def refuse_folder(data_dir: str | os.PathLike | None, read: str) -> None:
    """A folder that a person names and nobody reads is told.

    Args:
        data_dir: Of a known data set.
        read: What is read instead.

    Raises:
        ValueError: There is one.
    """
    if data_dir is not None:
        raise ValueError(
            f"data_dir={data_dir} has the files of a known data set, but {read} is read: leave out one of both"
        )


__all__ = ["find_files", "not_found", "refuse_folder"]
