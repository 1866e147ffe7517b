"""Configuration of the Transformer encoder-decoder."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.activations import ACT2FN

NORM_TYPES = ("layer_norm", "rms_norm")
NORM_POSITIONS = ("pre", "post")
POSITION_TYPES = ("sinusoidal", "learned", "rotary")


@strict
class TransformerSeq2SeqConfig(PreTrainedConfig):
    r"""
    An encoder reads the source, a decoder writes the target token by token ("Attention Is All You Need",
    arXiv:1706.03762). Fields of Bart and Marian have their names.

    The defaults are a deep encoder and a shallow decoder: the decoder runs once a token, the encoder once a sentence,
    so this is as accurate as equal depths and generates faster (arXiv:2006.10369).

    Args:
        vocab_size (`int`, defaults to 10000): Tokens of the vocabulary, which source and target share.
        d_model (`int`, defaults to 256): Width of the net; a multiple of both numbers of heads.
        encoder_layers (`int`, defaults to 6): Layers of the encoder.
        decoder_layers (`int`, defaults to 2): Layers of the decoder.
        encoder_attention_heads (`int`, defaults to 4): Attention heads of an encoder layer.
        decoder_attention_heads (`int`, defaults to 4): Attention heads of a decoder layer.
        encoder_ffn_dim (`int`, defaults to 1024): Inner width of the feed-forward nets of the encoder.
        decoder_ffn_dim (`int`, defaults to 1024): The same for the decoder.
        activation_function (`str`, defaults to `"relu"`): Activation of the feed-forward nets, a name of
            `transformers.activations.ACT2FN`.
        gated_ffn (`bool`, defaults to `False`): Multiply the activation by a second projection of the input
            (arXiv:2002.05202; with `"silu"` this is SwiGLU). Half as many weights more at the same inner width.
        norm_type (`"layer_norm"` or `"rms_norm"`, defaults to `"layer_norm"`): Normalisation.
        norm_position (`"pre"` or `"post"`, defaults to `"pre"`): Normalise the input of each block, and the last
            output once more (steady at any depth and learning rate); or the sum after each block, as in the original.
        layer_norm_eps (`float`, defaults to 1e-5): What keeps the normalisation of zeros finite.
        position_embedding_type (`"sinusoidal"`, `"learned"` or `"rotary"`, defaults to `"sinusoidal"`): How the net
            knows the order of tokens. Positions count real tokens only, so padding on either side changes nothing.
        rope_theta (`float`, defaults to 10000.0): Base of the wavelengths of rotary positions.
        max_position_embeddings (`int`, defaults to 512): Longest source and target with sinusoidal and learned
            positions; rotary ones have no limit.
        scale_embedding (`bool`, defaults to `True`): Multiply token embeddings by `sqrt(d_model)`, so that small
            embeddings, which the output layer shares, still outweigh the positions.
        tie_word_embeddings (`bool`, defaults to `True`): One matrix for the embeddings of encoder and decoder and for
            the output layer.
        final_logits_bias (`bool`, defaults to `False`): Learn a bias of each token in the output layer.
        copy_mechanism (`bool`, defaults to `False`): Write a token from the vocabulary or copy one from the source
            (pointer-generator, arXiv:1704.04368), so that names which the net has not seen are written correctly.
            Source and target must share the vocabulary.
        dropout (`float`, defaults to 0.1): Dropout of embeddings and of the output of each block.
        attention_dropout (`float`, defaults to 0.0): Dropout of attention weights. On CPUs anything above 0 is slow:
            fused attention has none there.
        activation_dropout (`float`, defaults to 0.0): Dropout after the activation of feed-forward nets.
        use_cache (`bool`, defaults to `True`): Keep keys and values between the steps of generation.
        pad_token_id (`int`, defaults to 0): Fills up short rows.
        bos_token_id (`int`, defaults to 2): Begins a text.
        eos_token_id (`int` or `list[int]`, defaults to 3): Ends a text.
        decoder_start_token_id (`int`, *optional*): What the decoder reads first; `bos_token_id` by default.

    Raises:
        StrictDataclassError: A field has the wrong type, or the fields contradict each other; the message names the
            field and the reason.

    Example:

    ```python
    >>> from zoo.models.transformer_seq2seq import TransformerSeq2SeqConfig
    >>> TransformerSeq2SeqConfig(d_model=128, encoder_attention_heads=8).encoder_head_dim
    16
    ```
    """

    model_type = "transformer_seq2seq"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {
        "hidden_size": "d_model",
        "num_hidden_layers": "encoder_layers",
        "num_attention_heads": "encoder_attention_heads",
    }

    vocab_size: int = 10000
    d_model: int = 256
    encoder_layers: int = 6
    decoder_layers: int = 2
    encoder_attention_heads: int = 4
    decoder_attention_heads: int = 4
    encoder_ffn_dim: int = 1024
    decoder_ffn_dim: int = 1024
    activation_function: str = "relu"
    gated_ffn: bool = False
    norm_type: str = "layer_norm"
    norm_position: str = "pre"
    layer_norm_eps: float = 1e-5
    position_embedding_type: str = "sinusoidal"
    rope_theta: float | int = 10000.0
    max_position_embeddings: int = 512
    scale_embedding: bool = True
    tie_word_embeddings: bool = True
    final_logits_bias: bool = False
    copy_mechanism: bool = False
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
    def encoder_head_dim(self) -> int:
        """Width of an attention head of the encoder."""
        return self.d_model // self.encoder_attention_heads

    @property
    def decoder_head_dim(self) -> int:
        """Width of an attention head of the decoder."""
        return self.d_model // self.decoder_attention_heads

    def validate_choices(self):
        """Fields with a fixed set of values."""
        for field, allowed in {
            "norm_type": NORM_TYPES,
            "norm_position": NORM_POSITIONS,
            "position_embedding_type": POSITION_TYPES,
            "activation_function": tuple(ACT2FN),
        }.items():
            value = getattr(self, field)
            if value not in allowed:
                raise ValueError(f"{field}={value!r} is not one of {', '.join(allowed)}")

    def validate_numbers(self):
        """Sizes are positive, dropouts are probabilities."""
        sizes = ("vocab_size", "d_model", "encoder_layers", "decoder_layers", "max_position_embeddings")
        blocks = ("encoder_attention_heads", "decoder_attention_heads", "encoder_ffn_dim", "decoder_ffn_dim")
        for field in (*sizes, *blocks):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}={getattr(self, field)} must be at least 1")
        for field in ("dropout", "attention_dropout", "activation_dropout"):
            if not 0 <= getattr(self, field) < 1:
                raise ValueError(f"{field}={getattr(self, field)} must be at least 0 and below 1")
        for field in ("layer_norm_eps", "rope_theta"):
            if getattr(self, field) <= 0:
                raise ValueError(f"{field}={getattr(self, field)} must be above 0")

    def validate_heads(self):
        """Heads share the width of the net evenly, and positions fit into them."""
        for field in ("encoder_attention_heads", "decoder_attention_heads"):
            heads = getattr(self, field)
            if heads < 1:
                continue  # validate_numbers says so
            if self.d_model % heads:
                raise ValueError(f"d_model={self.d_model} is not a multiple of {field}={heads}")
            if self.position_embedding_type == "rotary" and self.d_model // heads % 2:
                raise ValueError(
                    f"position_embedding_type='rotary' turns pairs of numbers, but d_model={self.d_model} with "
                    f"{field}={heads} makes heads of {self.d_model // heads}, which is odd"
                )
        if self.position_embedding_type == "sinusoidal" and self.d_model % 2:
            raise ValueError(f"d_model={self.d_model} must be even for position_embedding_type='sinusoidal'")

    def validate_tokens(self):
        """Special ids are in the vocabulary, and the decoder has something to start from."""
        for field in ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"):
            value = getattr(self, field)
            for token in value if isinstance(value, list) else [value]:
                if token is not None and not 0 <= token < self.vocab_size:
                    raise ValueError(f"{field}={value} is outside the vocabulary, vocab_size={self.vocab_size}")
        if self.decoder_start_token_id is None:
            raise ValueError("decoder_start_token_id is missing: without bos_token_id it has no default")


__all__ = ["TransformerSeq2SeqConfig"]
