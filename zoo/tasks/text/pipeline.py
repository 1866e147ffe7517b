"""`pipeline("translation", ...)` and `pipeline("summarization", ...)`, which transformers 5 no longer has.

This file imports nothing of the library, so that `pipeline.save_pretrained` can put it beside a model.
"""

import re
import types
import warnings
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from transformers.pipelines.base import Pipeline

# Texts that are generated for at once, unless `batch_size` says otherwise.
BATCH = 32
# Batches that are sorted by length together when texts come from a generator.
SORTED_TOGETHER = 16
# Where a sentence ends: behind its sign and closing quotes before a space, or behind the signs of languages without.
SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+|(?<=[。！？])")
# What a model with several target languages reads before a source.
TAG = re.compile(r">>\S+?<<")
# Settings of beam search, of which transformers warns where there are no beams.
BEAM_SETTINGS = {"early_stopping": False, "length_penalty": 1.0}


def sentences(text: str) -> list[str]:
    """The sentences of a text, each with what ends it."""
    parts, start = [], 0
    for match in SENTENCE_END.finditer(text):
        parts.append(text[start : match.end()])
        start = match.end()
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


class TextToTextPipeline(Pipeline):
    """A text or a list of texts in, a list with what the model makes of them out.

    The pieces of all texts go through the model sorted by length, in batches, and come back in order.

    Args of a call:
        batch_size: Texts at once; default: 32.
        truncation: Cut what is too long for the model, without a warning.
        ...: Anything that `generate()` takes, such as `num_beams`, `max_new_tokens` or `num_return_sequences`.
    """

    _pipeline_calls_generate = True
    _load_tokenizer = True
    _load_processor = False
    _load_image_processor = False
    _load_video_processor = False
    _load_feature_extractor = False

    answer = "generated_text"

    def _sanitize_parameters(
        self, truncation: bool | None = None, **generate_kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess = {} if truncation is None else {"truncation": truncation}
        return preprocess, generate_kwargs, {}

    def __call__(self, inputs: Any, *, batch_size: int | None = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """`[{"..._text": ...}]` for a text, the same for each text of a list; a list of such lists with several
        `num_return_sequences`; an iterator for an iterator.

        Raises:
            TypeError: The input is neither a text nor texts.
        """
        kwargs.pop("num_workers", None)
        given = self._sanitize_parameters(**kwargs)
        preprocess = {**self._preprocess_params, **given[0]}
        forward = {**self._forward_params, **given[1]}
        size = batch_size or self._batch_size or BATCH
        if isinstance(inputs, str):
            return self.answers([inputs], size, preprocess, forward)[0]
        if isinstance(inputs, (types.GeneratorType, Iterator)):
            return self.stream(inputs, size, preprocess, forward)
        return self.flat(self.answers(inputs, size, preprocess, forward))

    @staticmethod
    def flat(found: list[list[dict[str, Any]]]) -> list[Any]:
        """One answer each needs no lists of their own."""
        return [answers[0] for answers in found] if all(len(answers) == 1 for answers in found) else found

    def stream(self, inputs: Iterator[str], size: int, preprocess: dict, forward: dict) -> Iterator[Any]:
        """The answers to texts that come one by one."""
        while texts := list(islice(inputs, SORTED_TOGETHER * size)):
            yield from self.flat(self.answers(texts, size, preprocess, forward))

    def answers(
        self, inputs: Iterable[str], size: int, preprocess: dict[str, Any], forward: dict[str, Any]
    ) -> list[list[dict[str, Any]]]:
        """For each text its answers."""
        if isinstance(inputs, Mapping):  # its texts are its values, and it would be read as its keys
            raise TypeError(f"expected a text or a list of texts, got {type(inputs).__name__}")
        texts = list(inputs)
        for text in texts:
            if not isinstance(text, str):
                raise TypeError(f"expected a text or a list of texts, got {type(text).__name__}")
        pieces = self.preprocess(texts, **preprocess)
        flat = [(number, ids) for number, parts in enumerate(pieces) for ids in parts]
        order = sorted(range(len(flat)), key=lambda place: -len(flat[place][1]))
        generated: list[list[str]] = [[] for _ in flat]
        for first in range(0, len(order), size):
            places = order[first : first + size]
            batch = {"input_ids": [flat[place][1] for place in places]}
            outputs = self.postprocess(self.forward(batch, **forward), rows=len(places))
            for place, answers in zip(places, outputs):
                generated[place] = answers
        # A text without words has no pieces, and as many empty answers as the others have.
        count = max((len(answers) for answers in generated), default=1)
        found: list[list[list[str]]] = [[[] for _ in range(count)] for _ in texts]
        for (number, _), answers in zip(flat, generated):
            for parts, answer in zip(found[number], answers):
                parts.append(answer)
        return [[{self.answer: " ".join(parts)} for parts in answers] for answers in found]

    def limit(self) -> int | None:
        """Tokens that the model takes, its end sign included; None for no limit."""
        assert self.tokenizer is not None
        limits = (self.tokenizer.model_max_length, getattr(self.model.config, "max_position_embeddings", None))
        known = [int(limit) for limit in limits if limit is not None and limit < 1e9]
        return min(known, default=None)

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text, of any length."""
        assert self.tokenizer is not None
        return self.tokenizer(texts, return_attention_mask=False, verbose=False)["input_ids"] if texts else []

    def preprocess(  # type: ignore[override]
        self, input_: list[str], truncation: bool = False
    ) -> list[list[list[int]]]:
        """For each text the ids of its pieces: one, or none where there are no words."""
        limit = self.limit()
        pieces: list[list[list[int]]] = []
        for text, ids in zip(input_, self.tokenize(input_)):
            if not text.strip():
                pieces.append([])
            elif limit is None or len(ids) <= limit:
                pieces.append([ids])
            else:
                pieces.append(self.cut(ids, limit) if truncation else self.shorten(text, ids, limit))
        return pieces

    def cut(self, ids: list[int], limit: int) -> list[list[int]]:
        """The first tokens, and the end sign."""
        return [[*ids[: limit - 1], ids[-1]]]

    def shorten(self, text: str, ids: list[int], limit: int) -> list[list[int]]:
        """What becomes of a text that is longer than the model takes."""
        warnings.warn(
            f"a text of {len(ids)} tokens is longer than the {limit} that the model takes: only its beginning is "
            "read (truncation=True for no warning)",
            stacklevel=6,
        )
        return self.cut(ids, limit)

    def _forward(self, model_inputs: dict[str, Any], **generate_kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        assert self.tokenizer is not None
        inputs = self.tokenizer.pad(model_inputs, return_tensors="pt").to(self.device)
        settings = self._prepare_generate_kwargs(generate_kwargs)
        if settings.get("num_beams") == 1 and "generation_config" not in settings:
            settings = {**BEAM_SETTINGS, **settings}
        if settings.get("max_new_tokens") is not None:
            settings.setdefault("max_length", None)
        tokens = self.model.generate(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], **settings
        )
        tokens = tokens if isinstance(tokens, torch.Tensor) else tokens.sequences
        if not {"max_new_tokens", "max_length", "stopping_criteria"} & generate_kwargs.keys():
            self.warn_of_cut(tokens)
        return {"tokens": tokens}

    def warn_of_cut(self, tokens: torch.Tensor) -> None:
        """Say so if an answer, (answers, tokens), ends because the model's generation settings allow no more of it."""
        ends = self.model.generation_config.eos_token_id
        if ends is None:
            return
        ended = torch.isin(tokens, torch.as_tensor(ends, device=tokens.device)).any(dim=1)
        if not ended.all():
            warnings.warn(
                f"{int((~ended).sum())} of {len(tokens)} answers are cut off at {tokens.shape[1]} tokens, the length "
                "that the model was trained for (max_new_tokens=... for more)",
                stacklevel=6,
            )

    def postprocess(self, model_outputs: dict[str, Any], rows: int = 1) -> list[list[str]]:  # type: ignore[override]
        """For each row of a batch its generated texts."""
        assert self.tokenizer is not None
        texts = self.tokenizer.batch_decode(model_outputs["tokens"], skip_special_tokens=True)
        several = len(texts) // rows
        return [[text.strip() for text in texts[row * several : (row + 1) * several]] for row in range(rows)]


class SummarizationPipeline(TextToTextPipeline):
    """Summarize texts.

    ```python
    >>> summarize = pipeline("summarization", model=zoo.pretrained("transformer-summarizer-debian"))
    >>> summarize("This package contains ...")
    [{"summary_text": ...}]
    ```

    Of a text that is longer than the model takes only the beginning is read, with a warning: a summary of each part is
    not a summary of the whole.
    """

    answer = "summary_text"


class TranslationPipeline(TextToTextPipeline):
    """Translate texts.

    ```python
    >>> translate = pipeline("translation", model=zoo.pretrained("transformer-translator-en-de"))
    >>> translate(["A dog runs.", "Two men are talking."], num_beams=1)
    [{"translation_text": ...}, {"translation_text": ...}]
    ```

    A text that is longer than the model takes is translated in parts of whole sentences, with a warning; a sentence
    that is too long in itself is divided between words.

    Args of a call:
        tgt_lang: Language to translate into, of a model with tags such as `>>de<<`; needed if it has several.
        split_sentences: Translate each sentence on its own, as models of single sentences like it.
    """

    answer = "translation_text"
    # The language's tag in front of every piece, if there is one.
    tag: tuple[int, ...] = ()

    def _sanitize_parameters(  # type: ignore[override]
        self, tgt_lang: str | None = None, split_sentences: bool | None = None, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess, forward, postprocess = super()._sanitize_parameters(**kwargs)
        if tgt_lang is not None:
            preprocess["tgt_lang"] = tgt_lang
        if split_sentences is not None:
            preprocess["split_sentences"] = split_sentences
        return preprocess, forward, postprocess

    def preprocess(  # type: ignore[override]
        self, input_: list[str], truncation: bool = False, tgt_lang: str | None = None, split_sentences: bool = False
    ) -> list[list[list[int]]]:
        """For each text the ids of its pieces.

        Raises:
            ValueError: The model has no tag for the language.
        """
        tagged = [self.split_tag(text, tgt_lang) for text in input_]
        found: list[list[list[int]]] = [[] for _ in input_]
        for self.tag in dict.fromkeys(tag for tag, _ in tagged):
            rows = [row for row, (tag, _) in enumerate(tagged) if tag == self.tag]
            texts = [tagged[row][1] for row in rows]
            for row, pieces in zip(
                rows, self.by_sentence(texts, truncation) if split_sentences else super().preprocess(texts, truncation)
            ):
                found[row] = pieces
        return found

    def by_sentence(self, texts: list[str], truncation: bool) -> list[list[list[int]]]:
        """The pieces of each text, none of them of two sentences."""
        split = [sentences(text) for text in texts]
        found = iter(super().preprocess([part for parts in split for part in parts], truncation))
        return [[ids for part in islice(found, len(parts)) for ids in part] for parts in split]

    def split_tag(self, text: str, tgt_lang: str | None) -> tuple[tuple[int, ...], str]:
        """(tag, text without it): of the language, or what the text begins with, or the model's only one.

        Raises:
            ValueError: The model has no tag for the language, or several, and none is asked for.
        """
        assert self.tokenizer is not None
        known = {token: number for token, number in self.tokenizer.get_added_vocab().items() if TAG.fullmatch(token)}
        languages = ", ".join(token[2:-2] for token in known)
        if tgt_lang is not None:
            if f">>{tgt_lang}<<" not in known:
                raise ValueError(f"tgt_lang={tgt_lang!r}: the model has {languages or 'one language only'}")
            return (known[f">>{tgt_lang}<<"],), text
        match = TAG.match(text.lstrip())
        if match is not None and match[0] in known:
            return (known[match[0]],), text.lstrip().removeprefix(match[0])
        if len(known) > 1 and text.strip():
            raise ValueError(f"the model translates into {languages}: choose with tgt_lang=...")
        return tuple(known.values())[:1], text

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text, after the tag of the language."""
        return [[*self.tag, *ids] for ids in super().tokenize(texts)]

    def shorten(self, text: str, ids: list[int], limit: int) -> list[list[int]]:
        """Pieces of whole sentences, as many to a piece as the model takes."""
        warnings.warn(
            f"a text of {len(ids)} tokens is longer than the {limit} that the model takes: it is translated in parts "
            "(truncation=True to cut it off)",
            stacklevel=6,
        )
        around = len(self.tag) + 1  # the tag and the end sign
        pieces: list[list[str]] = []
        taken = 0
        parts = self.parts(text, limit)
        for part, found in zip(parts, self.tokenize(parts)):
            tokens = len(found) - around
            if not pieces or taken + tokens > limit:
                pieces.append([])
                taken = around
            pieces[-1].append(part)
            taken += tokens
        whole = self.tokenize([" ".join(piece) for piece in pieces])
        return [piece for found in whole for piece in self.divide(found, limit)]

    def parts(self, text: str, limit: int) -> list[str]:
        """The sentences of a text, and the words of those that are too long."""
        split = sentences(text)
        tokens = self.tokenize(split)
        return [
            part
            for sentence, ids in zip(split, tokens)
            for part in ([sentence] if len(ids) <= limit else sentence.split())
        ]

    def divide(self, ids: list[int], limit: int) -> list[list[int]]:
        """The piece itself; a word of more tokens than the model takes, or a text without spaces, in parts of them."""
        first, last = len(self.tag), len(ids) - 1
        size = limit - first - 1
        if len(ids) <= limit or size < 1:
            return [ids[:limit]]
        return [[*self.tag, *ids[place : min(place + size, last)], ids[-1]] for place in range(first, last, size)]


__all__ = ["SummarizationPipeline", "TextToTextPipeline", "TranslationPipeline", "sentences"]
