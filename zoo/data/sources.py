"""Where the files of a named data set are."""

import os
from collections.abc import Sequence
from pathlib import Path


def find_files(
    name: str, filenames: Sequence[str], path: str | os.PathLike | None = None, system_folder: str | None = None
) -> Path | None:
    """The folder with all of `filenames`, or None if only the Hub may have them.

    The order is: `path`, `$ZOO_DATA/<name>`, `system_folder`, where a system package puts the data.

    Raises:
        FileNotFoundError: `path` is given and lacks a file: a given path is never silently replaced.
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
    """The error for a data set that no source has: it names the sources and what to do.

    Args:
        name: Name of the data set and of its folder under `$ZOO_DATA`.
        system_folder: Where a system package puts it; None without a package.
        system_package: Name of that package.
        hub_id: Its repository on the Hub; None if the Hub does not have it.
        reason: Why the Hub did not answer.
        advice: Where else to get it.
    """
    zoo_data = os.environ.get("ZOO_DATA")
    zoo_place = f"{zoo_data}/{name}" if zoo_data else "$ZOO_DATA (not set)"
    places = f"{zoo_place} and {system_folder} do" if system_folder else f"{zoo_place} does"
    what = f"Install it with `apt-get install {system_package}`, or give" if system_package else "Give"
    hub = f"did not answer for {hub_id} ({reason})" if hub_id else "does not have it"
    return FileNotFoundError(
        f"the data set {name} was not found: no --data_dir was given, {places} not hold it, and the Hugging Face Hub "
        f"{hub}. {what} its folder with --data_dir or ZOO_DATA"
        + (", or go online" if hub_id else "")
        + (f"; {advice}" if advice else "")
    )


def refuse_folder(data_dir: str | os.PathLike | None, read: str) -> None:
    """Raise if `data_dir` would be ignored.

    Args:
        data_dir: Folder of a known data set.
        read: What is read instead.

    Raises:
        ValueError: `data_dir` is given.
    """
    if data_dir is not None:
        raise ValueError(
            f"data_dir={data_dir} has the files of a known data set, but {read} is read: leave out one of them"
        )


__all__ = ["find_files", "not_found", "refuse_folder"]
