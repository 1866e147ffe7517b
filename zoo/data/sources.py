"""Where the files of a named data set are."""

import gzip
import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def present(path: Path) -> Path:
    """The file, or else its compressed form, in which many corpora are published."""
    return path if path.is_file() else path.with_name(f"{path.name}.gz")


def read_bytes(path: Path) -> bytes:
    """The content of a file, decompressed if its name ends in .gz.

    Raises:
        ValueError: It is not a gzip file, or it is truncated.
    """
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as file:
            return file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: truncated or corrupt gzip file ({error}); fetch it again") from error


def find_files(
    name: str, filenames: Sequence[str], path: str | os.PathLike | None = None, system_folder: str | None = None
) -> Path | None:
    """The folder with all of `filenames`, plain or with .gz, or None if only the Hub may have them.

    The order is: `path`, `$ZOO_DATA/<name>`, `system_folder`, where a system package puts the data.

    Raises:
        FileNotFoundError: `path` is given and lacks a file: a given path is never silently replaced.
    """
    folders = [Path(os.environ["ZOO_DATA"]) / name] if os.environ.get("ZOO_DATA") else []
    folders += [Path(system_folder)] if system_folder else []
    for folder in folders if path is None else [Path(path)]:
        missing = [filename for filename in filenames if not present(folder / filename).is_file()]
        if not missing:
            return folder
        if path is not None:
            raise FileNotFoundError(f"{path} does not hold {missing[0]}, which the data set {name} needs")
    return None


def place(path: str | os.PathLike | None) -> str:
    """Where a folder came from, for the record: it travels with the model, so it does not name the folder itself."""
    return "ZOO_DATA" if path is None else "the folder given with --data_dir"


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
    places = [f"{zoo_data}/{name}" if zoo_data else "$ZOO_DATA (not set)", *([system_folder] if system_folder else [])]
    hub = f"did not answer for {hub_id} ({reason})" if hub_id else "does not have it"
    remedies = [f"install it with `apt-get install {system_package}`"] if system_package else []
    remedies += ["give its folder with --data_dir or ZOO_DATA", *(["go online"] if hub_id else [])]
    return FileNotFoundError(
        f"the data set {name} was not found: no --data_dir was given, it is not in {' or '.join(places)}, and the "
        f"Hugging Face Hub {hub}; {', or '.join(remedies)}" + (f"; {advice}" if advice else "")
    )


def from_hub(
    read: Callable[[], T],
    name: str,
    hub_id: str,
    advice: str = "",
    system_folder: str | None = None,
    system_package: str | None = None,
) -> T:
    """What `read` gets from the Hub, the last place; the arguments are those of `not_found`.

    Raises:
        FileNotFoundError: It failed.
    """
    try:
        return read()
    except Exception as error:  # the Hub client has a dozen error types; each means "not from the Hub" here
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise not_found(name, system_folder, system_package, hub_id, reason, advice) from error


def refuse_folder(data_dir: str | os.PathLike | None, read: str) -> None:
    """Raise a ValueError if `data_dir`, the folder of a known data set, would be ignored because `read` is read."""
    if data_dir is not None:
        raise ValueError(
            f"data_dir={data_dir} has the files of a known data set, but {read} is read: leave out one of them"
        )


__all__ = ["find_files", "from_hub", "not_found", "place", "present", "read_bytes", "refuse_folder"]
