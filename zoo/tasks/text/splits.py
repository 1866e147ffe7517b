"""From files or a data set's name to cleaned, tokenized splits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.data.sources import refuse_folder
from zoo.tasks.base import TaskData

from .arguments import TextArguments
from .cleaning import clean, drop_long, take, tell_dropped
from .dataset import Direction, TextDataset
from .kept_pairs import KeptPair, add_rounds, kept_training, languages_of, tell_kept, turned_round
from .tokenizing import adapt_tokenizer, build_sampler, check_tokenizer, fit_tokenizer

if TYPE_CHECKING:
    from zoo.data.parallel_text import ParallelText

FILES = {"train": "train_file", "validation": "validation_file", "test": "test_file"}
LIMITS = {"train": "max_train_samples", "validation": "max_eval_samples", "test": "max_predict_samples"}
# Splits of a data set by name, and what the record says of them; None if the task knows no data set of that name.
ReadNamed = Callable[[Any], tuple[dict[str, "ParallelText"], dict[str, Any]] | None]


def set_aside(pairs: "ParallelText", sizes: Mapping[str, float], seed: int) -> dict[str, "ParallelText"]:
    """Cut splits off the training pairs; pairs with the same source stay together. Those with an empty side measure
    nothing: they stay in training, where cleaning drops and counts them.

    Args:
        pairs: All pairs.
        sizes: Split -> pairs, or their share if below 1.
        seed: Of the choice.

    Raises:
        ValueError: No training pair would be left.
    """
    from zoo.data.parallel_text import normal_form

    keys = [normal_form(source) if target else "" for source, target in zip(pairs.source, pairs.target)]
    groups = list(dict.fromkeys(filter(None, keys)))
    order = np.random.default_rng(seed).permutation(len(groups))
    numbers: dict[str, list[int]] = {}
    for row, key in enumerate(keys):
        numbers.setdefault(key, []).append(row)
    found: dict[str, list[int]] = {**{name: [] for name in sizes}, "train": numbers.pop("", [])}
    wanted = {name: max(round(size * len(pairs)), 1) if size < 1 else int(size) for name, size in sizes.items()}
    for number in order:
        name = next((name for name in wanted if len(found[name]) < wanted[name]), "train")
        found[name] += numbers[groups[number]]
    if not found["train"]:
        aside = ", ".join(f"{size:,} for {name}" for name, size in wanted.items())
        raise ValueError(
            f"{pairs.origin}: {len(pairs):,} pairs are too few to set aside {aside}: bring more pairs, or files of "
            "their own with --validation_file and --test_file"
        )
    return {name: pairs.select(sorted(rows)) for name, rows in found.items() if rows}


def read_files(arguments: TextArguments) -> dict[str, "ParallelText"]:
    """The splits of own files: the training pairs among them, or a test alone.

    Raises:
        ValueError: There is no training file beside one for validation, or one is damaged.
        FileNotFoundError: A file does not exist.
    """
    from zoo.data.parallel_files import read_pairs

    named = {split: getattr(arguments, name) for split, name in FILES.items() if getattr(arguments, name)}
    if "train" not in named and "validation" in named:
        raise ValueError("--validation_file and --test_file need --train_file")
    languages = {name: getattr(arguments, name, None) for name in ("source_lang", "target_lang")}
    found = {}
    for split, files in named.items():
        file = files[0] if len(files) == 1 else files
        found[split] = read_pairs(
            file, source_column=arguments.source_column, target_column=arguments.target_column, **languages
        )
    return found


def read_hub(arguments: TextArguments) -> dict[str, "ParallelText"]:
    """The splits of a data set of the Hub."""
    from zoo.data.parallel_files import read_hub_pairs

    return read_hub_pairs(
        arguments.dataset_name or "",
        arguments.dataset_config_name,
        source_column=arguments.source_column,
        target_column=arguments.target_column,
        source_lang=getattr(arguments, "source_lang", None),
        target_lang=getattr(arguments, "target_lang", None),
    )


def read(arguments: TextArguments, read_named: ReadNamed) -> tuple[dict[str, "ParallelText"], dict[str, Any]]:
    """({split: its pairs}, notes for the record)."""
    named: Any = None
    notes: dict[str, Any] = {}
    if any(getattr(arguments, name) for name in FILES.values()):
        refuse_folder(arguments.data_dir, "a file of your own")
        found = read_files(arguments)
    elif arguments.dataset_name is None:
        raise ValueError("name the data: --train_file mine.tsv, two aligned files, or --dataset_name")
    else:
        named = read_named(arguments)
        if named is None:
            refuse_folder(arguments.data_dir, f"dataset_name={arguments.dataset_name}")
            found = read_hub(arguments)
        else:
            found, notes = named
    if named is None and "train" in found:
        sizes = {"test": arguments.test_size, "validation": arguments.validation_size}
        # What has a file of its own is not cut off the training pairs, nor is a test without one.
        missing = {name: size for name, size in sizes.items() if name not in found and size}
        if "test" in missing and "validation" in found:
            del missing["test"]
        if missing:
            found = {**found, **set_aside(found["train"], missing, arguments.split_seed)}
    return found, {**notes, "known_release": next(iter(found.values())).is_release}


def read_extra(name: str, arguments: TextArguments, read_named: ReadNamed) -> "ParallelText":
    """Further training pairs: those of a data set that the library knows, or of a file.

    Raises:
        ValueError: There is neither, or the file is damaged.
    """
    if Path(name).is_file():
        return read_files(replace(arguments, train_file=[name], validation_file=None, test_file=None))["train"]
    named = read_named(replace(arguments, dataset_name=name, data_dir=None))
    if named is None:
        raise ValueError(f"extra_train: {name} is neither a file nor a data set that the library knows by name")
    return named[0]["train"]


def check_positions(config: Any, arguments: TextArguments) -> None:
    """A model with a table of positions reads and writes no more than it has.

    Raises:
        ValueError: The recipe's limits are above it.
    """
    most = getattr(config, "max_position_embeddings", None)
    for name in ("max_source_length", "max_target_length"):
        # The decoder also reads the sign that starts it, but not the end sign.
        if most is not None and getattr(arguments, name) > most:
            raise ValueError(f"{name}={getattr(arguments, name)} is above the model's max_position_embeddings={most}")


def check_target(arguments: TextArguments, processor: Any) -> None:
    """Texts without a tag teach a model nothing of a language that it tells by tags.

    Raises:
        ValueError: The model of the processor has tags, and the language of the targets is not given.
    """
    from zoo.data.tokenizer import language_ids

    tags = language_ids(processor)
    if tags and not getattr(arguments, "target_lang", ""):
        raise ValueError(
            f"the model has tags of target languages ({', '.join(tags)}): say which one the targets are in, or name a "
            "new one, with --target_lang"
        )


def directions_of(
    arguments: TextArguments, kept: Sequence[KeptPair], tokenizer: Any, tagged: bool
) -> tuple[Direction, ...]:
    """The new direction and the kept ones, with their tags."""
    from zoo.data.tokenizer import language_ids

    pairs = [
        (getattr(arguments, "source_lang", None), getattr(arguments, "target_lang", None)),
        *((pair.source, pair.target) for pair in kept),
    ]
    tags = language_ids(tokenizer) if tagged else {}
    return tuple(Direction(source, target, (tags[target],) if target in tags else ()) for source, target in pairs)


def fields_of(tokenizer: Any) -> dict[str, Any]:
    """What of a config follows from the tokenizer."""
    return {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "decoder_start_token_id": tokenizer.bos_token_id,
    }


def load_test(arguments: TextArguments, processor: Any, pairs: "ParallelText", notes: dict[str, Any]) -> TaskData:
    """Pairs to measure a trained model on, without those of its training.

    Raises:
        ValueError: There is no model, or it does not say which of its languages the targets are in.
    """
    from zoo.data.tokenizer import language_ids

    if processor is None:
        raise ValueError("--validation_file and --test_file need --train_file")
    check_target(arguments, processor)
    pairs = take(pairs, arguments.max_predict_samples)
    rows = TextDataset(pairs.source, pairs.target, processor, arguments.max_source_length, arguments.max_target_length)
    rows.directions = directions_of(arguments, (), processor, bool(language_ids(processor)))
    rows.direction, rows.own = np.zeros(len(rows), np.int64), len(rows)
    return TaskData(
        train=None,
        validation=None,
        test=rows,
        model_fields=fields_of(processor),
        fingerprint={"test": pairs.fingerprint()},
        source=pairs.origin,
        notes=notes,
        processor=processor,
    )


def load_data(
    arguments: TextArguments,
    config: Any,
    processor: Any = None,
    *,
    read_named: ReadNamed = lambda arguments: None,
    kept: Sequence[KeptPair] = (),
    keep_ratio: float = 0.0,
) -> TaskData:
    """The pairs of a run. The tokenizer is of training texts, or comes with the weights that the run starts from.

    Training pairs are cleaned, and those that stand in validation or test too are dropped; validation and test stay as
    they are, every row of them. Rows of kept pairs of languages come behind those of the data itself, in every split.

    Raises:
        FileNotFoundError: The data is nowhere.
        ValueError: The data is damaged, or nothing is left of it.
    """
    from zoo.data.parallel_text import concatenate
    from zoo.data.tokenizer import language_ids

    check_positions(config, arguments)
    found, notes = read(arguments, read_named)
    if "train" not in found:
        return load_test(arguments, processor, found["test"], notes)
    held_out = {**found, **turned_round(*languages_of(arguments), kept)}
    train, notes["cleaning"] = clean(arguments, found["train"], held_out, [*held_out])
    remarks = tell_dropped(train.origin, notes["cleaning"])
    train = take(train, arguments.max_train_samples)
    parts = [train] * arguments.repeat_train
    for name in arguments.extra_train or ():
        extra, cleaning = clean(arguments, read_extra(name, arguments, read_named), held_out, [*held_out])
        notes.setdefault("extra_train", []).append({"source": extra.origin, "cleaning": cleaning})
        remarks += tell_dropped(extra.origin, cleaning)
        parts.append(take(extra, arguments.max_train_samples))
    own = len(train) * arguments.repeat_train
    whole = parts[0] if len(parts) == 1 else concatenate(parts)
    old, kept_notes = kept_training(arguments, kept, found, len(whole), keep_ratio)
    if kept:
        notes["kept_pairs"] = kept_notes
        remarks += tell_kept(kept_notes, keep_ratio)
    tagged = bool(kept) or getattr(arguments, "language_tags", False)
    tagged = tagged or (processor is not None and bool(language_ids(processor)))
    languages = list(dict.fromkeys([getattr(arguments, "target_lang", None) or "", *(pair.target for pair in kept)]))
    tags = [language for language in languages if language] if tagged else []
    origins = None
    rounds = [[parts[number % len(parts)] for parts in old] for number in range(max(map(len, old), default=1))]
    everything = concatenate([whole, *rounds[0]]) if old else whole
    if processor is None:
        tokenizer = fit_tokenizer(arguments, config, everything, tags)
    else:
        check_tokenizer(config, processor)
        check_target(arguments, processor)
        texts = everything if arguments.vocabulary == "replace" else train
        tokenizer, origins, notes["vocabulary"], told = adapt_tokenizer(
            arguments, processor, texts, tags, known=[part for parts in old for part in parts]
        )
        remarks += told
    directions = directions_of(arguments, kept, tokenizer, tagged)
    if tagged:
        notes["tags"] = list(language_ids(tokenizer))
    splits = {}
    for split in LIMITS:
        training = split == "train"
        limit = getattr(arguments, LIMITS[split])
        texts_of = [whole, *rounds[0]] if training else [found.get(split), *(pair.splits.get(split) for pair in kept)]
        present = [
            (number, text if training else take(text, limit))
            for number, text in enumerate(texts_of)
            if text is not None and len(text)
        ]
        if not present:
            continue
        pairs = present[0][1] if len(present) == 1 else concatenate([text for _, text in present])
        rows = TextDataset(
            pairs.source,
            pairs.target,
            tokenizer,
            arguments.max_source_length,
            arguments.max_target_length,
            training=training,
            resample=build_sampler(arguments, tokenizer) if training else None,
        )
        rows.directions = directions
        rows.direction = np.repeat([number for number, _ in present], [len(text) for _, text in present])
        rows.own = own if training else len(rows)
        if training and arguments.over_long == "drop" and rows.long.any():
            rows, dropped, told = drop_long(arguments, rows, [text.origin for text in (whole, *rounds[0])])
            remarks += told
            if dropped[0]:
                notes["cleaning"] |= {"over_long": dropped[0], "kept": len(rows.rows_of(0))}
            for note, count in zip(kept_notes, dropped[1:]):
                note["train"] -= count
                note["cleaning"]["over_long"] = count
        elif rows.long.any():
            notes.setdefault("truncated", {})[split] = int(rows.long.sum())
        splits[split] = rows
    add_rounds(splits["train"], rounds[1:], len(whole))
    counts = [int(tokens.lengths.sum()) for tokens, _ in splits["train"].encoded]
    notes["tokens_per_text"] = [round(count / len(splits["train"]), 2) for count in counts]
    return TaskData(
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        model_fields=fields_of(tokenizer),
        fingerprint={split: pairs.fingerprint() for split, pairs in {**found, "train": everything}.items()},
        source=everything.origin,
        notes=notes,
        processor=tokenizer,
        origins=origins,
        remarks=remarks,
    )


__all__ = ["load_data", "read", "set_aside"]
