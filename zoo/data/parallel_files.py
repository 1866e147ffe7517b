"""Reads pairs of texts from files and Hub data sets; errors name file and line."""

import csv
import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from .parallel_text import ParallelText

SOURCE_NAMES = ("source", "src", "text", "document", "article")
TARGET_NAMES = ("target", "tgt", "summary", "synopsis", "highlights")
# The column with both languages in a cell, {"en": ..., "de": ...}, as many corpora of the Hub have it.
NESTED = "translation"
_TEXT = (".tsv", ".txt", ".csv", ".jsonl", ".json")
_PARQUET = (".parquet", ".pq")
_BRACES = re.compile(r"\{([^{},]*),([^{},]*)\}")


def read_pairs(
    files: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    source_lang: str | None = None,
    target_lang: str | None = None,
    source_column: str | None = None,
    target_column: str | None = None,
) -> ParallelText:
    """Pairs of texts from one file with two columns, or from two aligned files of lines.

    - Two files, the source first: `corpus.en corpus.de`, or the pattern `corpus.{en,de}`. Line n of one belongs to
      line n of the other.
    - `.tsv` and `.txt`: one pair a line, columns between tabs, quotes are text. The first line is a header if a column
      is given by its name, or if two of its cells name a source and a target as below.
    - `.csv`: with a header; commas, semicolons or tabs.
    - `.jsonl` (or `.json`): one object a line, or one list of objects.
    - `.parquet`.

    All but Parquet may also end in `.gz`. Columns are looked for in this order: `source_column` and `target_column`
    (names; in a TSV file also numbers from 1); `source_lang` and `target_lang`, alone or in a column `translation`
    with both; usual names (source and target, text and summary...); in a TSV file the first two.

    White space around a text is removed; nothing else is changed, and empty texts stay: `clean_pairs` counts them.

    Args:
        files: The file, or the two.
        source_lang: Language of the source, such as "en".
        target_lang: Language of the target.
        source_column: Column of the source texts.
        target_column: Column of the target texts.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: A file cannot be used; the message names file and line.
    """
    paths = _paths(files)
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not a file")
    if len(paths) == 2:
        return _read_aligned(paths[0], paths[1], source_lang, target_lang)
    columns = _Columns(source_lang, target_lang, source_column, target_column)
    path, kind = paths[0], Path(paths[0].name.removesuffix(".gz")).suffix.lower()
    if kind in (".tsv", ".txt"):
        return _read_tsv(path, columns)
    if kind == ".csv":
        return _read_csv(path, columns)
    if kind in (".jsonl", ".json"):
        return _read_json(path, columns)
    if kind in _PARQUET:
        return _read_parquet(path, columns)
    raise ValueError(
        f"{path}: expected one file ending in {', '.join((*_TEXT, *_PARQUET))} (text also .gz), "
        "or two aligned files of lines, source first"
    )


def read_hub_pairs(
    name: str,
    config_name: str | None = None,
    *,
    source_lang: str | None = None,
    target_lang: str | None = None,
    source_column: str | None = None,
    target_column: str | None = None,
) -> dict[str, ParallelText]:
    """Every split of a data set of the Hub, or of a folder that `datasets` reads, by its name there.

    Columns are looked for as in `read_pairs`.

    Raises:
        ValueError: A column is missing or holds no text.
    """
    from datasets import load_dataset

    columns = _Columns(source_lang, target_lang, source_column, target_column)
    return {
        str(split): _from_rows(f"{name}, split {split}", rows.column_names, rows, columns, origin=name)
        for split, rows in load_dataset(name, config_name).items()
    }


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


def read_lines(path: Path) -> list[str]:
    r"""The lines of a UTF-8 file, plain or .gz, without their ends.

    Only \n and \r\n end a line: str.splitlines would also split at U+2028 and others that occur inside of texts, and
    two aligned files would drift apart.

    Raises:
        ValueError: The file is empty, or a line is not UTF-8 text.
    """
    content = read_bytes(path).removeprefix(b"\xef\xbb\xbf")  # the byte order mark that Windows writes
    if not content.strip():
        raise ValueError(f"{path} is empty")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError(f"{path}: is UTF-16, expected UTF-8: convert it with iconv -f UTF-16 -t UTF-8")
    if content[:2] == b"\x1f\x8b":
        raise ValueError(f"{path}: is a gzip file: give it a name that ends in .gz")
    if b"\n" not in content and b"\r" in content.strip():
        raise ValueError(f"{path}: its lines end in a carriage return alone: convert it with tr '\\r' '\\n'")
    lines = content.removesuffix(b"\n").split(b"\n")
    decoded = []
    for number, line in enumerate(lines, start=1):
        if b"\0" in line:
            raise ValueError(
                f"{path}, line {number}: holds a NUL byte: the file is UTF-16 without its mark "
                "(convert it with iconv), or damaged (tr -d '\\000' drops the byte)"
            )
        try:
            decoded.append(line.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path}, line {number}: byte {error.start + 1} ({line[error.start]:#04x}) is not UTF-8: "
                "convert the file, or correct the line"
            ) from error
    return decoded


def _paths(files: str | os.PathLike | Sequence[str | os.PathLike]) -> list[Path]:
    given = [files] if isinstance(files, (str, os.PathLike)) else list(files)
    if len(given) == 1:
        # a shell expands the braces of corpus.{en,de} itself, unless they came quoted or from a recipe
        name = os.fspath(given[0])
        braces = _BRACES.findall(name)
        if len(braces) == 1 and not os.path.exists(name):
            given = [_BRACES.sub(choice.replace("\\", r"\\"), name) for choice in braces[0]]
    if len(given) not in (1, 2):
        raise ValueError(f"expected one file of pairs, or two aligned files of lines; got {len(given)}")
    return [Path(path) for path in given]


def _read_aligned(source: Path, target: Path, source_lang: str | None, target_lang: str | None) -> ParallelText:
    """Two files of lines."""
    for path in (source, target):
        if path.suffix in _PARQUET:
            raise ValueError(f"{path}: two files must be lines of text; a file with both columns is given alone")
    parts = [set(path.name.lower().split(".")) for path in (source, target)]
    languages = [(lang or "").lower() for lang in (source_lang, target_lang)]
    if all(languages) and languages[1] in parts[0] - parts[1] and languages[0] in parts[1] - parts[0]:
        raise ValueError(
            f"{source} and {target} are in the wrong order for {source_lang} to {target_lang}: give the source first"
        )
    lines = read_lines(source), read_lines(target)
    if len(lines[0]) != len(lines[1]):
        short = int(len(lines[0]) > len(lines[1]))
        raise ValueError(
            f"{source} has {len(lines[0])} lines, {target} has {len(lines[1])}: aligned files need the same number; "
            f"{(source, target)[short]} ends before line {len(lines[short]) + 1}"
        )
    return ParallelText(
        [line.strip() for line in lines[0]],
        [line.strip() for line in lines[1]],
        origin=f"{source.name}, {target.name}",
        place=_escape(f"{source} and {target}") + ", line {}",
    )


class _Columns:
    """Finds the columns of source and target."""

    def __init__(
        self, source_lang: str | None, target_lang: str | None, source_column: str | None, target_column: str | None
    ):
        self.languages = (source_lang, target_lang)
        self.given = (source_column, target_column)
        self.flags = ("--source_column", "--target_column")

    @property
    def positions(self) -> list[int | None]:
        """Numbers from 0 where a number from 1 was given."""
        return [int(name) - 1 if name and name.isascii() and name.isdigit() else None for name in self.given]

    def find(self, names: Sequence[str]) -> list[str] | None:
        """The names of both columns, or None if one is missing."""
        lower = {name.strip().lower(): name for name in reversed(names)}
        columns: list[str | None] = []
        for given, lang, usual in zip(self.given, self.languages, (SOURCE_NAMES, TARGET_NAMES)):
            wanted = [given] if given else [lang] if lang and lang.lower() in lower else list(usual)
            # An exact name comes before one that differs in case.
            exact = [name for name in wanted if name in names]
            loose = [lower[name.lower()] for name in wanted if name.lower() in lower]
            columns.append(next(iter(exact + loose), None))
        # A column with both languages is neither side.
        return None if None in columns or columns[0] == columns[1] else [name for name in columns if name]

    def missing(self, where: str, names: Sequence[str]) -> ValueError:
        """The error that names the missing column, and those that exist."""
        there = ", ".join(names[:20]) or "none"
        for given, flag in zip(self.given, self.flags):
            if given and given not in names:
                return ValueError(f"{where} has no column {given!r} ({flag}); it has {there}")
        if self.given[0] and self.given[0] == self.given[1]:
            return ValueError(f"{where}: {self.flags[0]} and {self.flags[1]} both name the column {self.given[0]!r}")
        asked = [f" ({lang})" if lang else "" for lang in self.languages]
        return ValueError(
            f"{where}: no source{asked[0]} and target{asked[1]} among its columns ({there}): name them with "
            f"{self.flags[0]} and {self.flags[1]}"
        )


def _escape(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _read_tsv(path: Path, columns: _Columns) -> ParallelText:
    rows = [line.split("\t") if line.strip(" ") else [""] for line in read_lines(path)]
    first = next(row for row in rows if row != [""])
    taken, has_header = _tsv_columns(path, columns, [cell.strip() for cell in first])
    numbers: list[int] = []
    pairs: tuple[list[str], list[str]] = ([], [])
    for number, row in enumerate(rows, start=1):
        if row == [""] or (has_header and row is first):
            continue
        if len(row) <= max(taken):
            hint = "; columns of a TSV file are divided by tabs" if len(row) == 1 else ""
            raise ValueError(
                f"{path}, line {number}: has {len(row)} column{'s' if len(row) > 1 else ''}, "
                f"expected at least {max(taken) + 1}{hint}"
            )
        numbers.append(number)
        for side, column in zip(pairs, taken):
            side.append(row[column].strip())
    return _finish(path, pairs, numbers, "line")


def _tsv_columns(path: Path, columns: _Columns, first: list[str]) -> tuple[list[int], bool]:
    """The numbers of both columns from 0, and whether the first line is a header."""
    positions = columns.positions
    header = columns.find(first)
    if header is not None:
        return [first.index(name) for name in header], True
    by_name = any(name and position is None for name, position in zip(columns.given, positions))
    by_language = not any(columns.given) and {lang for lang in columns.languages if lang} & set(first)
    if by_name or by_language:  # a header that names one of the two
        raise columns.missing(f"{path}, line 1", first)
    taken = [number if position is None else position for number, position in enumerate(positions)]
    if taken[0] == taken[1] or min(taken) < 0:
        raise ValueError(f"{path}: source and target need two different columns, counted from 1")
    named = _Columns(*columns.languages, None, None).find(first)
    return taken, named is not None and [first.index(name) for name in named] == taken


def _read_csv(path: Path, columns: _Columns) -> ParallelText:
    text = "\n".join(read_lines(path)) + "\n"
    separator = max(",;\t", key=text.split("\n", 1)[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    limit = csv.field_size_limit(max(len(text), 131_072))  # a cell may be a whole article
    rows, start = [], 1
    try:
        for row in reader:
            rows.append((start, row))
            start = reader.line_num + 1  # a quoted cell may have several lines: errors name the first
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    finally:
        csv.field_size_limit(limit)
    names = [cell.strip() for cell in rows[0][1]]
    header = columns.find(names)
    if header is None:
        raise columns.missing(f"{path}, line 1", names)
    rows = [(number, row) for number, row in rows[1:] if row]
    for number, row in rows:
        if len(row) != len(names):
            raise ValueError(f"{path}, line {number}: has {len(row)} cells, the header {len(names)}")
    source, target = ([row[names.index(name)].strip() for _, row in rows] for name in header)
    return _finish(path, (source, target), [number for number, _ in rows], "line")


def _read_json(path: Path, columns: _Columns) -> ParallelText:
    lines = read_lines(path)
    if lines[0].lstrip().startswith("["):
        numbered, unit = list(enumerate(_parse("\n".join(lines), path, 1), start=1)), "entry"
    else:
        numbered = [(number, _parse(line, path, number)) for number, line in enumerate(lines, start=1) if line.strip()]
        unit = "line"
    for number, row in numbered:
        if not isinstance(row, dict):
            raise ValueError(f"{path}, {unit} {number}: expected an object with a source and a target")
    if not numbered:
        raise ValueError(f"{path} holds no pairs")
    # The names of the first object; it is an error if a later one lacks them.
    return _from_rows(path, list(numbered[0][1]), (row for _, row in numbered), columns,
                      numbers=[number for number, _ in numbered], unit=unit)  # fmt: skip


def _parse(text: str, path: Path, line: int) -> Any:
    """The value of JSON that begins in this line of a file."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"{path}, line {line + error.lineno - 1}"
        raise ValueError(f"{place}: not JSON ({error.msg}, column {error.colno})") from error
    except RecursionError:
        raise ValueError(f"{path}, line {line}: nested too deeply, expected an object with two texts") from None


def _read_parquet(path: Path, columns: _Columns) -> ParallelText:
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    return _from_rows(path, table.column_names, table.to_pylist(), columns, unit="row")


def _from_rows(
    name: Path | str,
    names: list[str],
    rows: Iterable[Any],
    columns: _Columns,
    numbers: Sequence[int] = (),
    unit: str = "row",
    origin: str = "",
) -> ParallelText:
    """Pairs from rows that are dictionaries."""
    header = columns.find(names)
    nested = header is None and not any(columns.given) and NESTED in names and all(columns.languages)
    if header is None and not nested:
        advice = " (for its column translation give --source_lang and --target_lang)" if NESTED in names else ""
        raise ValueError(f"{columns.missing(str(name), names)}{advice}")
    wanted = [str(lang) for lang in columns.languages] if nested else header or []
    pairs: tuple[list[str], list[str]] = ([], [])
    place = ""
    for row, number in zip(rows, numbers or count(1)):
        cells = row.get(NESTED) if nested else row
        place = f"{name}, {unit} {number}"
        if not isinstance(cells, dict):
            raise ValueError(f"{place}: column {NESTED} holds {cells!r:.40}, not a text for each language")
        for side, column in zip(pairs, wanted):
            if column not in cells:
                raise ValueError(f"{place}: has no {column!r}; it has {', '.join(map(str, cells)) or 'nothing'}")
            text = cells[column]
            if not isinstance(text, str) and text is not None:
                raise ValueError(f"{place}, column {column!r}: holds {text!r:.40}, not text")
            side.append((text or "").strip())
    if not place:
        raise ValueError(f"{name} holds no pairs")
    return _finish(name, pairs, list(numbers), unit, origin)


def _finish(
    name: Path | str, pairs: tuple[list[str], list[str]], numbers: list[int], unit: str, origin: str = ""
) -> ParallelText:
    """The pairs; raises if a tokenizer cannot read one."""
    if not pairs[0]:
        raise ValueError(f"{name} holds no pairs")
    place = _escape(str(name)) + f", {unit} {{}}"
    text = ParallelText(*pairs, origin=origin or Path(name).name, place=place, numbers=numbers)
    for side in pairs:
        for row, line in enumerate(side):
            # JSON can have half of a character, which is not UTF-8.
            if not line.isascii() and any("\ud800" <= character <= "\udfff" for character in line):
                raise ValueError(f"{text.where(row)}: holds half of a surrogate pair, which is not a character")
    return text


__all__ = ["read_bytes", "read_hub_pairs", "read_lines", "read_pairs"]
