"""The parallel corpora that the library knows by name: Multi30k and Tatoeba."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from .parallel_files import read_hub_pairs, read_pairs
from .parallel_text import ParallelText, normal_form, split_by_hash
from .sources import find_files, from_hub, not_found, place, present, read_bytes

# What the release's names of the splits mean here.
MULTI30K_SPLITS = {"train": "train", "validation": "val", "test": "test_2016_flickr"}
# Of 100 English sentences of Tatoeba, one goes to each of these.
_HELD_OUT = {"test": 1, "validation": 1}


@dataclass(frozen=True)
class NamedPairs:
    """A parallel corpus that a recipe names.

    Args:
        folder: Its folder under `$ZOO_DATA`.
        pairs: Pairs of languages that it has; each can be read in both directions.
        files: Two languages -> the plain names of the files that they need; each may also end in .gz.
        read: (folder, source language, target language) -> split -> pairs.
        release: Plain file name -> sha256 of the decompressed file of the known release.
        hub_id: The repository of the Hub that has some of it, if one does.
        hub_pair: The pair of languages that the Hub has.
        licence: Of the data.
        homepage: Where the authors publish it.
    """

    folder: str
    pairs: tuple[tuple[str, str], ...]
    files: Callable[[str, str], list[str]]
    read: Callable[[Path, str, str], dict[str, ParallelText]]
    release: Mapping[str, str]
    hub_id: str | None
    hub_pair: tuple[str, ...]
    licence: str
    homepage: str


def _multi30k_files(source_lang: str, target_lang: str) -> list[str]:
    return [f"{split}.{lang}" for split in MULTI30K_SPLITS.values() for lang in (source_lang, target_lang)]


def _read_multi30k(folder: Path, source_lang: str, target_lang: str) -> dict[str, ParallelText]:
    return {
        split: read_pairs([present(folder / f"{name}.{lang}") for lang in (source_lang, target_lang)])
        for split, name in MULTI30K_SPLITS.items()
    }


def _tatoeba_files(source_lang: str, target_lang: str) -> list[str]:
    return ["eng-deu.tsv" if "de" in (source_lang, target_lang) else "eng-fra.tsv"]


def _read_tatoeba(folder: Path, source_lang: str, target_lang: str) -> dict[str, ParallelText]:
    """Split by a hash of the English sentence, whatever the direction: all its translations stay together, as do the
    spellings of it that differ in case and punctuation, and the split is the same for every other language."""
    (name,) = _tatoeba_files(source_lang, target_lang)
    pairs = read_pairs(present(folder / name), source_column="1", target_column="2")
    splits = split_by_hash(pairs, map(normal_form, pairs.source), _HELD_OUT)
    return splits if source_lang == "en" else {split: text.reverse() for split, text in splits.items()}


NAMED_PAIRS = {
    "multi30k": NamedPairs(
        folder="multi30k",
        pairs=(("en", "de"), ("en", "fr"), ("de", "fr")),
        files=_multi30k_files,
        read=_read_multi30k,
        release={
            "train.en": "460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6",
            "train.de": "2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72",
            "train.fr": "5925a3c18f1587b6b54b87743106e6e8ab93618edb6f65d19eac0621f853a10d",
            "val.en": "1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227",
            "val.de": "660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660",
            "val.fr": "5304e444d842e962b2dda4d816b70b22a1765b15401642b7ca37a67477e708dc",
            "test_2016_flickr.en": "399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182",
            "test_2016_flickr.de": "4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16",
            "test_2016_flickr.fr": "cb3160d69b002bb638e66cc7612fcd56cb0af82eadc9c142dedc438afb885ef6",
        },
        hub_id="bentrevett/multi30k",
        hub_pair=("en", "de"),
        licence="for research and education (captions of Flickr30k images)",
        homepage="https://github.com/multi30k/dataset",
    ),
    "tatoeba": NamedPairs(
        folder="tatoeba",
        pairs=(("en", "de"), ("en", "fr")),
        files=_tatoeba_files,
        read=_read_tatoeba,
        release={
            "eng-deu.tsv": "a79c90b3cd3102decffa49cc00fb6f20023974f2ae5c4782515bebe133fcc07b",
            "eng-fra.tsv": "0bb85dbaa1c896844649094d7eaf2e34bee34e84fe362b26ce7e8f2e12aae104",
        },
        hub_id=None,
        hub_pair=(),
        licence="CC-BY 2.0 (tatoeba.org)",
        homepage="https://www.manythings.org/anki",
    ),
}


def load_named_pairs(
    name: str, source_lang: str, target_lang: str, data_dir: str | os.PathLike | None = None
) -> dict[str, ParallelText]:
    """The splits "train", "validation" and "test" of a named corpus, from `data_dir`, `$ZOO_DATA/<folder>` or the Hub.

    Raises:
        ValueError: The name or the pair of languages is unknown, or a file is damaged.
        FileNotFoundError: It is in none of the three places.
    """
    if name not in NAMED_PAIRS:
        raise ValueError(f"there is no parallel corpus {name!r}; known: {', '.join(NAMED_PAIRS)}, or give a file")
    named = NAMED_PAIRS[name]
    if not any({source_lang, target_lang} == set(pair) for pair in named.pairs):
        known = ", ".join("-".join(pair) for pair in named.pairs)
        raise ValueError(
            f"{name} has no pair {source_lang}-{target_lang}; it has {known}, each in both directions: "
            "choose with --source_lang and --target_lang"
        )
    files = named.files(source_lang, target_lang)
    folder = find_files(named.folder, files, data_dir)
    if folder is not None:
        hashes = {file: hashlib.sha256(read_bytes(present(folder / file))).hexdigest() for file in files}
        origin, is_release = f"{name}, {place(data_dir)}", hashes.items() <= named.release.items()
        splits = named.read(folder, source_lang, target_lang)
        return {split: replace(text, origin=origin, is_release=is_release) for split, text in splits.items()}
    advice = f"{name} is published at {named.homepage}"
    if not named.hub_id or {source_lang, target_lang} != set(named.hub_pair):
        reason = f"it has no {source_lang}-{target_lang}"
        raise not_found(named.folder, None, None, named.hub_id, reason, advice)

    def read() -> dict[str, ParallelText]:
        splits = read_hub_pairs(named.hub_id or "", source_lang=source_lang, target_lang=target_lang)
        return {split: splits[split] for split in ("train", "validation", "test")}

    return from_hub(read, named.folder, named.hub_id, advice)


__all__ = ["NAMED_PAIRS", "NamedPairs", "load_named_pairs"]
