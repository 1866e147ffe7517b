"""`pipeline("translation", ...)` and `pipeline("summarization", ...)`, which transformers 5 no longer has.

This file imports nothing of the library, so that `pipeline.save_pretrained` can copy it beside a model.
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
# Where a sentence ends: after its mark and closing quotes before a space, or after the marks of Chinese and Japanese.
SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+|(?<=[。！？])")
# What a model with several target languages reads before a source.
TAG = re.compile(r">>\S+?<<")
# Ids that go before a text (its language tag), and the text.
Part = tuple[tuple[int, ...], str]
# Settings of beam search; transformers warns of others without beams.
BEAM_SETTINGS = {"early_stopping": False, "length_penalty": 1.0}


def sentences(text: str) -> list[str]:
    """The sentences of a text, each with what ends it."""
    parts, start = [], 0
    for match in SENTENCE_END.finditer(text):
        parts.append(text[start : match.end()])
        start = match.end()
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


def truncated(ids: list[int], limit: int) -> list[int]:
    """The first tokens, and EOS."""
    return [*ids[: limit - 1], ids[-1]]


def divided(ids: list[int], prefix: tuple[int, ...], limit: int) -> list[list[int]]:
    """The chunk itself after its prefix; what has too many tokens without a space is divided between them."""
    size, last = limit - len(prefix) - 1, len(ids) - 1
    if len(ids) <= size + 1 or size < 1:
        return [[*prefix, *ids][:limit]]
    return [[*prefix, *ids[place : min(place + size, last)], ids[-1]] for place in range(0, last, size)]


class TextToTextPipeline(Pipeline):
    """Generates a text for each text.

    Texts that are too long are split into chunks, or truncated. The chunks of all texts go through the model in
    batches, sorted by length, and come back in order.

    Args of a call:
        batch_size (`int`, defaults to 32): Texts at once.
        truncation (`bool`, defaults to `False`): Truncate what is too long for the model, without a warning.
        generate_kwargs: Arguments of `generate()`, such as `num_beams`, `max_new_tokens` or `num_return_sequences`.
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
        """Generate.

        Args:
            inputs (`str`, `list[str]` or an iterator of `str`): The texts.
            batch_size (`int`, *optional*): Texts at once.
            kwargs: See the class.

        Returns:
            `[{"..._text": ...}]` for a text, one such dictionary for each text of a list, a list of such lists with
            several `num_return_sequences`, an iterator for an iterator.

        Raises:
            TypeError: The input is neither a text nor texts.
        """
        kwargs.pop("num_workers", None)
        parameters = self._sanitize_parameters(**kwargs)
        preprocess = {**self._preprocess_params, **parameters[0]}
        forward = {**self._forward_params, **parameters[1]}
        size = batch_size or self._batch_size or BATCH
        if isinstance(inputs, str):
            return self.answers([inputs], size, preprocess, forward)[0]
        if isinstance(inputs, (types.GeneratorType, Iterator)):
            return self.stream(inputs, size, preprocess, forward)
        return self.flat(self.answers(inputs, size, preprocess, forward))

    @staticmethod
    def flat(outputs: list[list[dict[str, str]]]) -> list[Any]:
        """Without inner lists if each text has one output."""
        return [answers[0] for answers in outputs] if all(len(answers) == 1 for answers in outputs) else outputs

    def stream(self, inputs: Iterator[str], size: int, preprocess: dict, forward: dict) -> Iterator[Any]:
        """The outputs of texts that come one by one."""
        while texts := list(islice(inputs, SORTED_TOGETHER * size)):
            yield from self.flat(self.answers(texts, size, preprocess, forward))

    def answers(
        self, inputs: Iterable[str], size: int, preprocess: dict[str, Any], forward: dict[str, Any]
    ) -> list[list[dict[str, str]]]:
        """The outputs of each text."""
        if isinstance(inputs, Mapping):  # its texts are its values, and it would be read as its keys
            raise TypeError(f"expected a text or a list of texts, got {type(inputs).__name__}")
        texts = list(inputs)
        for text in texts:
            if not isinstance(text, str):
                raise TypeError(f"expected a text or a list of texts, got {type(text).__name__}")
        chunks = self.preprocess(texts, **preprocess)
        flat = [ids for parts in chunks for ids in parts]
        order = sorted(range(len(flat)), key=lambda place: -len(flat[place]))
        generated: list[list[str]] = [[] for _ in flat]
        for first in range(0, len(order), size):
            places = order[first : first + size]
            batch = {"input_ids": [flat[place] for place in places]}
            outputs = self.postprocess(self.forward(batch, **forward), rows=len(places))
            for place, answers in zip(places, outputs):
                generated[place] = answers
        # A text without words has no chunks, and as many empty outputs as the others have.
        empty = [""] * max(map(len, generated), default=1)
        rest = iter(generated)
        joined = [map(" ".join, zip(*islice(rest, len(parts)))) if parts else empty for parts in chunks]
        return [[{self.answer: answer} for answer in answers] for answers in joined]

    def limit(self) -> int | None:
        """Tokens that the model reads at most, EOS included; None for no limit."""
        assert self.tokenizer is not None
        limits = (self.tokenizer.model_max_length, getattr(self.model.config, "max_position_embeddings", None))
        known = [int(limit) for limit in limits if limit is not None and limit < 1e9]
        return min(known, default=None)

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text, of any length."""
        assert self.tokenizer is not None
        return self.tokenizer(texts, return_attention_mask=False, verbose=False)["input_ids"] if texts else []

    def parts(self, texts: list[str]) -> list[list[Part]]:
        """What each text is read as."""
        return [[((), text)] for text in texts]

    def preprocess(  # type: ignore[override]
        self, input_: list[str], truncation: bool = False, **options: Any
    ) -> list[list[list[int]]]:
        """The ids of each text's chunks: none of a text without words.

        Args:
            input_: The texts.
            truncation: Truncate what is too long.
            options: Arguments of `parts`.
        """
        limit, parts = self.limit(), self.parts(input_, **options)
        tokens = iter(self.tokenize([text for row in parts for _, text in row]))
        chunks: list[list[list[int]]] = []
        for row in parts:
            chunks.append([])
            for prefix, text in row:
                ids = [*prefix, *next(tokens)]
                if not text.strip():
                    continue
                if limit is None or len(ids) <= limit:
                    chunks[-1].append(ids)
                else:
                    chunks[-1] += [truncated(ids, limit)] if truncation else self.shorten(text, ids, prefix, limit)
        return chunks

    def shorten(self, text: str, ids: list[int], prefix: tuple[int, ...], limit: int) -> list[list[int]]:
        """The chunks of a text that is longer than the model reads."""
        warnings.warn(
            f"a text of {len(ids)} tokens is longer than the {limit} that the model takes: only its beginning is "
            "read (truncation=True for no warning)",
            stacklevel=5,
        )
        return [truncated(ids, limit)]

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
        """Warn if an output, in `tokens` of shape `(outputs, length)`, ends because of the model's length limit."""
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
        """The generated texts of each row of a batch."""
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

    def _sanitize_parameters(  # type: ignore[override]
        self, tgt_lang: str | None = None, split_sentences: bool | None = None, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess, forward, postprocess = super()._sanitize_parameters(**kwargs)
        if tgt_lang is not None:
            preprocess["tgt_lang"] = tgt_lang
        if split_sentences is not None:
            preprocess["split_sentences"] = split_sentences
        return preprocess, forward, postprocess

    def parts(  # type: ignore[override]
        self, texts: list[str], tgt_lang: str | None = None, split_sentences: bool = False
    ) -> list[list[Part]]:
        """Each text, or each of its sentences, after the language tag if there is one.

        Raises:
            ValueError: The model has no tag for the language.
        """
        tagged = [self.split_tag(text, tgt_lang) for text in texts]
        return [[(tag, part) for part in (sentences(text) if split_sentences else [text])] for tag, text in tagged]

    def split_tag(self, text: str, tgt_lang: str | None) -> tuple[tuple[int, ...], str]:
        """(tag, text without it): the tag of the language, or what the text begins with, or the model's only one.

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

    def shorten(self, text: str, ids: list[int], prefix: tuple[int, ...], limit: int) -> list[list[int]]:
        """Chunks of as many whole sentences as the model reads; of a sentence that is too long, of words."""
        warnings.warn(
            f"a text of {len(ids)} tokens is longer than the {limit} that the model takes: it is translated in parts "
            "(truncation=True to cut it off)",
            stacklevel=5,
        )
        around = len(prefix) + 1  # the tag and EOS
        split = sentences(text)
        fits = [len(part) + len(prefix) <= limit for part in self.tokenize(split)]
        parts = [part for whole, fit in zip(split, fits) for part in ([whole] if fit else whole.split())]
        chunks: list[list[str]] = []
        taken = 0
        for part, part_ids in zip(parts, self.tokenize(parts)):
            tokens = len(part_ids) - 1
            if not chunks or taken + tokens > limit:
                chunks.append([])
                taken = around
            chunks[-1].append(part)
            taken += tokens
        whole = self.tokenize([" ".join(chunk) for chunk in chunks])
        return [part for chunk in whole for part in divided(chunk, prefix, limit)]


__all__ = ["SummarizationPipeline", "TextToTextPipeline", "TranslationPipeline", "sentences"]
