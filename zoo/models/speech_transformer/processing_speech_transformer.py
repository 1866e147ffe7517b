"""Feature extractor and tokenizer of the speech Transformer in one object."""

from typing import Any

from transformers import BatchFeature, ProcessorMixin


class SpeechTransformerProcessor(ProcessorMixin):
    r"""
    Sound to features, texts to labels, and tokens back to texts.

    Args:
        feature_extractor (`SpeechTransformerFeatureExtractor`): For the sound.
        tokenizer (`PreTrainedTokenizerFast`): For the texts; its padding token is the blank of CTC.
    """

    def __init__(self, feature_extractor: Any, tokenizer: Any):
        super().__init__(feature_extractor, tokenizer)

    def __call__(
        self, audio: Any = None, text: Any = None, sampling_rate: int | None = None, **kwargs: Any
    ) -> BatchFeature:
        """Prepare sound, texts, or both.

        Args:
            audio: See the feature extractor.
            text (`str` or `list[str]`, *optional*): What is said.
            sampling_rate (`int`, *optional*): Rate of the sound.
            kwargs: Of the feature extractor with sound, of the tokenizer without.

        Returns:
            `input_features` and `attention_mask` of the sound, with the texts' tokens as `labels`, -100 on padding;
            without sound `input_ids` and `attention_mask` of the texts.
        """
        if audio is None and text is None:
            raise ValueError("give audio, text, or both")
        if audio is None:
            return self.tokenizer(text, **kwargs)
        inputs = self.feature_extractor(audio, sampling_rate=sampling_rate, **kwargs)
        if text is not None:
            tokens = self.tokenizer([text] if isinstance(text, str) else text, padding=True, return_tensors="pt")
            labels = tokens["input_ids"].masked_fill(tokens["attention_mask"] == 0, -100)
            inputs["labels"] = labels if kwargs.get("return_tensors") == "pt" else labels.tolist()
        return inputs

    def ctc_decode(self, tokens: Any) -> list[str]:
        """The texts of the most likely token of each frame: repetitions are merged, blanks are dropped.

        Args:
            tokens (`torch.Tensor` of shape `(batch, frames)`): argmax of the CTC logits; blanks on padding.
        """
        blank = self.tokenizer.pad_token_id
        texts = []
        for row in tokens.tolist():
            merged = [token for place, token in enumerate(row) if place == 0 or token != row[place - 1]]
            texts.append(self.tokenizer.decode([t for t in merged if t != blank], skip_special_tokens=True))
        return texts


__all__ = ["SpeechTransformerProcessor"]
