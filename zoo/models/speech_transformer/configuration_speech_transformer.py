"""Configuration of the speech Transformer."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.activations import ACT2FN


@strict
class SpeechTransformerConfig(PreTrainedConfig):
    r"""
    Strided convolutions shorten a log-mel spectrogram to a quarter or an eighth, a Transformer encoder reads it and a
    decoder writes the text (Speech-Transformer, Dong et al., 2018; Speech2Text, arXiv:2010.05171). A second output
    layer on the encoder may be trained by CTC at the same time (arXiv:1609.06773): it learns to align sound and text,
    which attention alone hardly does on a few hours of speech. With `conv_kernel_size` the layers of the encoder have
    the convolution of a Conformer, too. Fields of Speech2Text and Bart have their names.

    Args:
        vocab_size (`int`, defaults to 64): Tokens of the vocabulary.
        num_mel_bins (`int`, defaults to 80): Mel bins of the input.
        conv_channels (`int`, defaults to 32): Channels of the convolutions over time and frequency.
        conv_layers (`int`, defaults to 2): Convolutions of stride 2 over time and frequency, 2 or 3.
        d_model (`int`, defaults to 192): Width of the net; a multiple of both numbers of heads, and even.
        encoder_layers (`int`, defaults to 8): Layers of the encoder.
        decoder_layers (`int`, defaults to 3): Layers of the decoder.
        encoder_attention_heads (`int`, defaults to 4): Attention heads of an encoder layer.
        decoder_attention_heads (`int`, defaults to 4): Attention heads of a decoder layer.
        encoder_ffn_dim (`int`, defaults to 768): Inner width of the feed-forward nets of the encoder.
        decoder_ffn_dim (`int`, defaults to 768): The same for the decoder.
        conv_kernel_size (`int`, defaults to 0): Positions that the convolution of an encoder layer sees at once, an
            odd number (Conformer, arXiv:2005.08100); 0: layers without a convolution.
        activation_function (`str`, defaults to `"relu"`): Activation of convolutions and feed-forward nets, a name of
            `transformers.activations.ACT2FN`.
        layer_norm_eps (`float`, defaults to 1e-5): Epsilon of the layer normalisation.
        max_source_positions (`int`, defaults to 3000): Longest input in frames of 10 ms.
        max_target_positions (`int`, defaults to 448): Longest text in tokens.
        ctc_loss_weight (`float`, defaults to 0.3): Share of the CTC loss in the loss; 0: no CTC output layer.
        ctc_decoding_weight (`float`, defaults to 0.0): Share of CTC's score beside the decoder's in `generate()`.
        tie_word_embeddings (`bool`, defaults to `True`): One matrix for the embeddings and the output layer of the
            decoder.
        dropout (`float`, defaults to 0.1): Dropout of embeddings and of the output of each block.
        attention_dropout (`float`, defaults to 0.0): Dropout of attention weights.
        activation_dropout (`float`, defaults to 0.0): Dropout after the activation of feed-forward nets.
        use_cache (`bool`, defaults to `True`): Keep keys and values between the steps of generation.
        pad_token_id (`int`, defaults to 0): Fills up short texts; also the blank of CTC.
        bos_token_id (`int`, defaults to 2): Begins a text.
        eos_token_id (`int` or `list[int]`, defaults to 3): Ends a text.
        decoder_start_token_id (`int`, *optional*): What the decoder reads first; `bos_token_id` by default.

    Raises:
        StrictDataclassError: A field has the wrong type, or the fields contradict each other; the message names the
            field and the reason.

    Example:

    ```python
    >>> from zoo.models.speech_transformer import SpeechTransformerConfig
    >>> SpeechTransformerConfig(max_source_positions=1500).max_source_positions  # 15 seconds
    1500
    ```
    """

    model_type = "speech_transformer"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {
        "hidden_size": "d_model",
        "num_hidden_layers": "encoder_layers",
        "num_attention_heads": "encoder_attention_heads",
    }

    vocab_size: int = 64
    num_mel_bins: int = 80
    conv_channels: int = 32
    conv_layers: int = 2
    d_model: int = 192
    encoder_layers: int = 8
    decoder_layers: int = 3
    encoder_attention_heads: int = 4
    decoder_attention_heads: int = 4
    encoder_ffn_dim: int = 768
    decoder_ffn_dim: int = 768
    conv_kernel_size: int = 0
    activation_function: str = "relu"
    layer_norm_eps: float = 1e-5
    max_source_positions: int = 3000
    max_target_positions: int = 448
    ctc_loss_weight: float | int = 0.3
    ctc_decoding_weight: float | int = 0.0
    tie_word_embeddings: bool = True
    dropout: float | int = 0.1
    attention_dropout: float | int = 0.0
    activation_dropout: float | int = 0.0
    use_cache: bool = True
    is_encoder_decoder: bool = True
    pad_token_id: int = 0
    bos_token_id: int | None = 2
    eos_token_id: int | list[int] | None = 3
    decoder_start_token_id: int | None = None

    def __post_init__(self, **kwargs):
        if self.decoder_start_token_id is None:
            self.decoder_start_token_id = self.bos_token_id
        super().__post_init__(**kwargs)

    @property
    def frames_per_position(self) -> int:
        """Frames of the input to one position of the encoder."""
        return 2**self.conv_layers

    def validate_numbers(self):
        """Sizes are positive, dropouts and shares are probabilities."""
        sizes = ("vocab_size", "num_mel_bins", "conv_channels", "d_model", "encoder_layers", "decoder_layers")
        blocks = ("encoder_attention_heads", "decoder_attention_heads", "encoder_ffn_dim", "decoder_ffn_dim")
        for field in (*sizes, *blocks, "max_source_positions", "max_target_positions"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}={getattr(self, field)} must be at least 1")
        for field in ("dropout", "attention_dropout", "activation_dropout", "ctc_loss_weight", "ctc_decoding_weight"):
            if not 0 <= getattr(self, field) < 1:
                raise ValueError(f"{field}={getattr(self, field)} must be at least 0 and below 1")
        if self.conv_layers not in (2, 3):
            raise ValueError(f"conv_layers={self.conv_layers} must be 2 or 3")
        if self.conv_kernel_size and (self.conv_kernel_size < 3 or self.conv_kernel_size % 2 == 0):
            raise ValueError(f"conv_kernel_size={self.conv_kernel_size} must be 0, or odd and at least 3")
        if self.ctc_decoding_weight and not self.ctc_loss_weight:
            raise ValueError(f"ctc_decoding_weight={self.ctc_decoding_weight} needs ctc_loss_weight above 0")
        if self.layer_norm_eps <= 0:
            raise ValueError(f"layer_norm_eps={self.layer_norm_eps} must be above 0")
        if self.activation_function not in ACT2FN:
            raise ValueError(f"activation_function={self.activation_function!r} is not one of {', '.join(ACT2FN)}")

    def validate_heads(self):
        """Heads share the width evenly, and sines and cosines have a half of it each."""
        for field in ("encoder_attention_heads", "decoder_attention_heads"):
            heads = getattr(self, field)
            if heads >= 1 and self.d_model % heads:
                raise ValueError(f"d_model={self.d_model} is not a multiple of {field}={heads}")
        if self.d_model % 2:
            raise ValueError(f"d_model={self.d_model} must be even: positions are pairs of a sine and a cosine")

    def validate_tokens(self):
        """Special ids are in the vocabulary, and the decoder has something to start from."""
        for field in ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"):
            value = getattr(self, field)
            for token in value if isinstance(value, list) else [value]:
                if token is not None and not 0 <= token < self.vocab_size:
                    raise ValueError(f"{field}={value} is outside the vocabulary, vocab_size={self.vocab_size}")
        if self.decoder_start_token_id is None:
            raise ValueError("decoder_start_token_id is missing: without bos_token_id it has no default")


__all__ = ["SpeechTransformerConfig"]
