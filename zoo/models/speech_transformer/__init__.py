"""Speech Transformer: log-mel spectrograms to text, by attention, by CTC, or by both."""

from transformers import AutoModelForCTC

from zoo.models.base import Family

from .configuration_speech_transformer import SpeechTransformerConfig
from .feature_extraction_speech_transformer import SpeechTransformerFeatureExtractor
from .modeling_speech_transformer import (
    SpeechTransformerForConditionalGeneration,
    SpeechTransformerForCTC,
    SpeechTransformerModel,
    SpeechTransformerPreTrainedModel,
)
from .processing_speech_transformer import SpeechTransformerProcessor

FAMILY = Family(
    name="speech_transformer",
    config_class=SpeechTransformerConfig,
    base_model_class=SpeechTransformerModel,
    model_classes={"speech_recognition": SpeechTransformerForConditionalGeneration},
    other_model_classes={AutoModelForCTC: SpeechTransformerForCTC},
    processor_class=SpeechTransformerProcessor,
    feature_extractor_class=SpeechTransformerFeatureExtractor,
    tiny={
        "vocab_size": 32,
        "num_mel_bins": 8,
        "conv_channels": 4,
        "d_model": 16,
        "encoder_layers": 2,
        "decoder_layers": 1,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 24,
        "conv_kernel_size": 3,
        "max_source_positions": 600,
        "max_target_positions": 600,
        "dropout": 0.0,
    },
)

__all__ = [
    "FAMILY",
    "SpeechTransformerConfig",
    "SpeechTransformerFeatureExtractor",
    "SpeechTransformerForCTC",
    "SpeechTransformerForConditionalGeneration",
    "SpeechTransformerModel",
    "SpeechTransformerPreTrainedModel",
    "SpeechTransformerProcessor",
]
