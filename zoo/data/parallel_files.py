"""Reads pairs of texts from files and Hub data sets; errors name file and line."""

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .parallel_text import ParallelText
from .sources import read_bytes

SOURCE_NAMES = ("source", "src", "text", "document", "article")
TARGET_NAMES = ("target", "tgt", "summary", "synopsis", "highlights")
# The column with both languages in a cell, {"en": ..., "de": ...}, as many corpora of the Hub have it.
NESTED = "translation"
# (number of a line or row, the dictionary of its cells)
_Rows = Iterable[tuple[int, dict[str, Any]]]


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
    given = [files] if isinstance(files, (str, os.PathLike)) else list(files)
    # A shell expands the braces of corpus.{en,de} itself, unless they came quoted or from a recipe.
    braces = re.search(r"\{([^{},]*),([^{},]*)\}", os.fspath(given[0])) if len(given) == 1 else None
    if braces and not os.path.exists(given[0]):
        given = [os.fspath(given[0]).replace(braces[0], choice) for choice in braces.groups()]
    paths = [Path(path) for path in given]
    if len(paths) not in (1, 2):
        raise ValueError(f"expected one file of pairs, or two aligned files of lines; got {len(paths)}")
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not a file")
    if len(paths) == 2:
        return _read_aligned(paths[0], paths[1], source_lang, target_lang)
    read = _READERS.get(Path(path.name.removesuffix(".gz")).suffix.lower())
    if read is None:
        raise ValueError(
            f"{path}: expected one file ending in {', '.join(_READERS)} (text also .gz), or two aligned files of "
            "lines, source first"
        )
    return read(path, _Columns(source_lang, target_lang, source_column, target_column))


def read_hub_pairs(name: str, config_name: str | None = None, **columns: str | None) -> dict[str, ParallelText]:
    """Every split of a data set of the Hub, or of a folder that `datasets` reads, by its name there.

    Args:
        name: Its repository or folder.
        config_name: Its configuration.
        columns: `source_lang`, `target_lang`, `source_column` and `target_column`, as of `read_pairs`.

    Raises:
        ValueError: A column is missing or holds no text.
    """
    from datasets import load_dataset

    return {
        str(split): _from_rows(
            f"{name}, split {split}", rows.column_names, enumerate(rows, start=1), _Columns(**columns), origin=name
        )
        for split, rows in load_dataset(name, config_name).items()
    }


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


def _read_aligned(source: Path, target: Path, source_lang: str | None, target_lang: str | None) -> ParallelText:
    """Two files of lines."""
    for path in (source, target):
        if _READERS.get(path.suffix) is _read_parquet:
            raise ValueError(f"{path}: two files must be lines of text; a file with both columns is given alone")
    parts = [set(path.name.lower().split(".")) for path in (source, target)]
    languages = [(lang or "").lower() for lang in (source_lang, target_lang)]
    if languages[1] in parts[0] - parts[1] and languages[0] in parts[1] - parts[0]:
        raise ValueError(
            f"{source} and {target} are in the wrong order for {source_lang} to {target_lang}: give the source first"
        )
    sources, targets = read_lines(source), read_lines(target)
    if len(sources) != len(targets):
        shorter = source if len(sources) < len(targets) else target
        raise ValueError(
            f"{source} has {len(sources)} lines, {target} has {len(targets)}: aligned files need the same number; "
            f"{shorter} ends before line {min(len(sources), len(targets)) + 1}"
        )
    sources, targets = ([line.strip() for line in lines] for lines in (sources, targets))
    return ParallelText(sources, targets, origin=f"{source.name}, {target.name}")


@dataclass(frozen=True)
class _Columns:
    """What the user says about the columns of source and target."""

    source_lang: str | None = None
    target_lang: str | None = None
    source_column: str | None = None
    target_column: str | None = None

    @property
    def given(self) -> tuple[str | None, str | None]:
        return self.source_column, self.target_column

    def find(self, names: Sequence[str]) -> tuple[str, str] | None:
        """The names of both columns, or None if one is missing."""
        lower = {name.strip().lower(): name for name in reversed(names)}
        columns = []
        for given, lang, usual in zip(self.given, (self.source_lang, self.target_lang), (SOURCE_NAMES, TARGET_NAMES)):
            wanted = [given] if given else [lang] if lang and lang.lower() in lower else list(usual)
            # An exact name comes before one that differs in case.
            exact = [name for name in wanted if name in names]
            columns += (exact or [lower[name.lower()] for name in wanted if name.lower() in lower])[:1]
        # A column with both languages is neither side.
        return (columns[0], columns[1]) if len(set(columns)) == 2 else None

    def missing(self, where: str, names: Sequence[str]) -> ValueError:
        """The error that names the missing column, and those that exist."""
        existing = ", ".join(names[:20]) or "none"
        for given, flag in zip(self.given, ("--source_column", "--target_column")):
            if given and given not in names:
                return ValueError(f"{where} has no column {given!r} ({flag}); it has {existing}")
        if self.source_column and self.source_column == self.target_column:
            return ValueError(f"{where}: --source_column and --target_column both name {self.source_column!r}")
        source, target = (f" ({lang})" if lang else "" for lang in (self.source_lang, self.target_lang))
        return ValueError(
            f"{where}: no source{source} and target{target} among its columns ({existing}): name them with "
            "--source_column and --target_column"
        )


def _read_tsv(path: Path, columns: _Columns) -> ParallelText:
    rows = [(number, line.split("\t")) for number, line in enumerate(read_lines(path), start=1) if line.strip(" ")]
    source, target, has_header = _tsv_columns(path, columns, [cell.strip() for cell in rows[0][1]])
    needed = max(source, target) + 1
    rows = rows[1:] if has_header else rows
    for number, row in rows:
        if len(row) < needed:
            hint = "; columns of a TSV file are divided by tabs" if len(row) == 1 else ""
            raise ValueError(f"{path}, line {number}: expected at least {needed} columns, found {len(row)}{hint}")
    return _pairs(path, ((f"line {number}", row[source], row[target]) for number, row in rows))


def _tsv_columns(path: Path, columns: _Columns, first: list[str]) -> tuple[int, int, bool]:
    """The numbers of both columns from 0, and whether the first line is a header."""
    header = columns.find(first)
    if header is not None:
        return first.index(header[0]), first.index(header[1]), True
    has_numbers = all(name is None or (name.isascii() and name.isdigit()) for name in columns.given)
    languages = columns.source_lang, columns.target_lang
    by_language = not any(columns.given) and set(languages) & set(first)
    if not has_numbers or by_language:  # a header that names one of the two
        raise columns.missing(f"{path}, line 1", first)
    source, target = int(columns.source_column or 1) - 1, int(columns.target_column or 2) - 1
    if source == target or min(source, target) < 0:
        raise ValueError(f"{path}: source and target need two different columns, counted from 1")
    header = _Columns(*languages).find(first)
    has_header = header is not None and (first.index(header[0]), first.index(header[1])) == (source, target)
    return source, target, has_header


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
    if columns.find(names) is None:
        raise columns.missing(f"{path}, line 1", names)
    rows = [(number, row) for number, row in rows[1:] if row]
    for number, row in rows:
        if len(row) != len(names):
            raise ValueError(f"{path}, line {number}: has {len(row)} cells, the header {len(names)}")
    # Reversed: of two columns with one name the first counts.
    dictionaries = ((number, dict(zip(reversed(names), reversed(row)))) for number, row in rows)
    return _from_rows(path, names, dictionaries, columns, "line")


def _read_json(path: Path, columns: _Columns) -> ParallelText:
    def parse(text: str, line: int) -> Any:
        """The value of JSON that begins in this line."""
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            where = f"{path}, line {line + error.lineno - 1}"
            raise ValueError(f"{where}: not JSON ({error.msg}, column {error.colno})") from error
        except RecursionError:
            raise ValueError(f"{path}, line {line}: nested too deeply, expected an object with two texts") from None

    lines = read_lines(path)
    if lines[0].lstrip().startswith("["):
        rows, unit = list(enumerate(parse("\n".join(lines), 1), start=1)), "entry"
    else:
        rows = [(number, parse(line, number)) for number, line in enumerate(lines, start=1) if line.strip()]
        unit = "line"
    for number, row in rows:
        if not isinstance(row, dict):
            raise ValueError(f"{path}, {unit} {number}: expected an object with a source and a target")
    # The names of the first object; it is an error if a later one lacks them.
    return _from_rows(path, list(rows[0][1]) if rows else None, rows, columns, unit)


def _read_parquet(path: Path, columns: _Columns) -> ParallelText:
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    return _from_rows(path, table.column_names, enumerate(table.to_pylist(), start=1), columns)


_READERS = dict.fromkeys((".tsv", ".txt"), _read_tsv) | {".csv": _read_csv}
_READERS |= dict.fromkeys((".jsonl", ".json"), _read_json) | dict.fromkeys((".parquet", ".pq"), _read_parquet)


def _from_rows(
    name: Path | str, names: Sequence[str] | None, rows: _Rows, columns: _Columns, unit: str = "row", origin: str = ""
) -> ParallelText:
    """Pairs from rows with named cells; None as names if there are no rows."""
    if names is None:
        raise ValueError(f"{name} holds no pairs")
    wanted, nested = columns.find(names), False
    if wanted is None and not any(columns.given) and NESTED in names and columns.source_lang and columns.target_lang:
        wanted, nested = (columns.source_lang, columns.target_lang), True
    if wanted is None:
        advice = " (for its column translation give --source_lang and --target_lang)" if NESTED in names else ""
        raise ValueError(f"{columns.missing(str(name), names)}{advice}")

    def cells() -> Iterator[tuple[str, str, str]]:
        for number, row in rows:
            place, texts = f"{unit} {number}", row.get(NESTED) if nested else row
            if not isinstance(texts, dict):
                raise ValueError(f"{name}, {place}: column {NESTED} holds {texts!r:.40}, not a text for each language")
            for column in wanted:
                if column not in texts:
                    raise ValueError(f"{name}, {place}: has no {column!r}; it has {', '.join(map(str, texts))}")
                if not isinstance(texts[column], str | None):
                    raise ValueError(f"{name}, {place}, column {column!r}: holds {texts[column]!r:.40}, not text")
            source, target = (texts[column] or "" for column in wanted)
            yield place, source, target

    return _pairs(name, cells(), origin)


def _pairs(name: Path | str, rows: Iterable[tuple[str, str, str]], origin: str = "") -> ParallelText:
    """Pairs from (place, source, target)."""
    sources, targets = [], []
    for place, source, target in rows:
        # JSON can have half of a character, which is not UTF-8: no tokenizer reads it.
        if re.search("[\ud800-\udfff]", source + target):
            raise ValueError(f"{name}, {place}: holds half of a surrogate pair, which is not a character")
        sources.append(source.strip())
        targets.append(target.strip())
    if not sources:
        raise ValueError(f"{name} holds no pairs")
    return ParallelText(sources, targets, origin=origin or Path(name).name)


__all__ = ["read_hub_pairs", "read_lines", "read_pairs"]
