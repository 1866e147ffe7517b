"""Run a CTranslate2 model, as a model of transformers."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GenerationConfig, PreTrainedConfig
from transformers.generation import GenerateEncoderDecoderOutput

from .ctranslate2_format import FOLDER
from .runtime import ExportedModel, named_as_original

# Settings of `generate()` -> CTranslate2's names, and the value that transformers takes without one.
SETTINGS = {
    "num_beams": ("beam_size", 1),
    "num_return_sequences": ("num_hypotheses", 1),
    "length_penalty": ("length_penalty", 1.0),
    "repetition_penalty": ("repetition_penalty", 1.0),
    "no_repeat_ngram_size": ("no_repeat_ngram_size", 0),
}
# Settings that change nothing here. (CTranslate2 ends a beam search as transformers does with early_stopping=True.)
IGNORED = {
    "early_stopping",
    "use_cache",
    "synced_gpus",
    "do_sample",
    "max_length",
    "max_new_tokens",
    "generation_config",
}
IGNORED |= {"pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id", "assistant_model", "tokenizer"}
IGNORED |= {"assistant_tokenizer", "return_dict_in_generate"}


class CTranslate2Model(ExportedModel):
    """A Transformer that reads and writes tokens; it shows no logits."""

    main_input_name = "input_ids"

    def __init__(self, config: PreTrainedConfig, folder: Path):
        import ctranslate2

        super().__init__(config, folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        self.tokens = tokenizer.convert_ids_to_tokens(list(range(config.vocab_size)))
        self.ids = {token: number for number, token in enumerate(self.tokens)}
        try:
            self.translator = ctranslate2.Translator(
                str(folder / FOLDER), device="cpu", compute_type="default", intra_threads=torch.get_num_threads()
            )
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"CTranslate2 cannot load {folder / FOLDER}: {reason}; export the model again") from None

    @classmethod
    def can_generate(cls) -> bool:
        """It always can."""
        return True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """
        Raises:
            ValueError: Always.
        """
        raise ValueError("CTranslate2 shows no logits: use generate(), or export with --format onnx")

    def translation_options(self, given: dict[str, Any]) -> tuple[dict[str, Any], int]:
        """CTranslate2's options and the longest target without its start.

        Args:
            given: Keyword arguments of `generate()`; what is absent comes from the model's generation config.

        Raises:
            ValueError: It has no such setting.
        """
        own: Any = self.merge(given.get("generation_config"))
        neutral = GenerationConfig._get_default_generation_params()
        set_there = {name for name, value in vars(own).items() if value not in (None, False, neutral.get(name))}
        set_there = {name for name in set_there if not name.startswith("_") and name != "transformers_version"}
        values = {name: getattr(own, name, None) for name in SETTINGS} | given
        unknown = sorted((set(given) | set_there) - set(SETTINGS) - IGNORED)
        if unknown or given.get("do_sample", own.do_sample):
            name = unknown[0] if unknown else "do_sample"
            raise ValueError(
                f"CTranslate2 has no {name} here; it has {', '.join(SETTINGS)}, max_length, max_new_tokens"
            )
        options = {
            theirs: default if values[name] is None else values[name] for name, (theirs, default) in SETTINGS.items()
        }
        longest = given.get("max_new_tokens")
        if longest is None:
            longest = None if given.get("max_length") else own.max_new_tokens
        if longest is None:
            longest = (given.get("max_length") or own.max_length or 256) - 1
        return options, longest

    @torch.no_grad()
    def generate(  # type: ignore[override]
        self,
        inputs: torch.Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        *,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor | GenerateEncoderDecoderOutput:
        """Greedy or beam search.

        Args:
            inputs, input_ids (`torch.Tensor` of shape `(batch, source)`): The source, by either name.
            generation_config (`GenerationConfig`, *optional*): Completed by the model's own.
            attention_mask (`torch.Tensor` of shape `(batch, source)`, *optional*): 1 on real tokens.
            kwargs: `num_beams`, `max_length`, `max_new_tokens`, `length_penalty`, `repetition_penalty`,
                `no_repeat_ngram_size`, `num_return_sequences`, `return_dict_in_generate`.

        Returns:
            Tokens of shape `(batch * num_return_sequences, length)` that begin with the decoder's start token; with
            `return_dict_in_generate` as `sequences` of an output that has nothing else.

        Raises:
            ValueError: There is no source, or a setting that CTranslate2 has not.
        """
        input_ids = inputs if input_ids is None else input_ids
        if input_ids is None:
            raise ValueError("generate() needs input_ids")
        options, longest = self.translation_options({**kwargs, "generation_config": generation_config})
        mask = input_ids != self.config.pad_token_id if attention_mask is None else attention_mask.bool()
        source = [[self.tokens[token] for token in row[keep].tolist()] for row, keep in zip(input_ids, mask)]
        results = self.translator.translate_batch(
            source, max_input_length=0, max_decoding_length=longest, max_batch_size=0, return_end_token=True, **options
        )
        start = self.config.decoder_start_token_id
        rows = [[start, *(self.ids[token] for token in row)] for result in results for row in result.hypotheses]
        tokens = torch.full((len(rows), max(map(len, rows))), self.config.pad_token_id)
        for number, row in enumerate(rows):
            tokens[number, : len(row)] = torch.tensor(row)
        as_dict = kwargs.get("return_dict_in_generate", self.merge(generation_config).return_dict_in_generate)
        return GenerateEncoderDecoderOutput(sequences=tokens) if as_dict else tokens


def load(config: PreTrainedConfig, folder: Path) -> ExportedModel:
    """The model of an exported folder."""
    return named_as_original(CTranslate2Model, config)(config, folder)


__all__ = ["CTranslate2Model", "load"]
