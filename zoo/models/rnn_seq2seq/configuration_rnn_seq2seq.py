"""Configuration of the RNN encoder-decoder: from the course's plain seq2seq to a GNMT-style net, by fields alone."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

# How many states each cell carries from one token to the next.
CELL_STATES = {"lstm": 2, "gru": 1, "rnn": 1}
ATTENTIONS = ("none", "dot", "general", "additive")


@strict
class RNNSeq2SeqConfig(PreTrainedConfig):
    r"""
    A recurrent encoder reads the source, a recurrent decoder writes the target and looks back at the source by
    attention. The defaults are a net of 7.4 million parameters that is fast on CPUs: nothing in its training loops
    over tokens in Python.

    Args:
        vocab_size (`int`, defaults to 8000): Tokens of the vocabulary that source and target share.
        embedding_size (`int`, defaults to 256): Width of a token's embedding, and of the vector that is compared with
            every token's output embedding.
        hidden_size (`int`, defaults to 512): Width of what a layer of the encoder or decoder puts out. A bidirectional
            encoder layer splits it between its two directions.
        encoder_layers (`int`, defaults to 1): Recurrent layers of the encoder.
        decoder_layers (`int`, defaults to 2): Recurrent layers of the decoder.
        cell_type (`"rnn"`, `"lstm"` or `"gru"`, defaults to `"gru"`): The recurrent cell.
        bidirectional (`bool`, defaults to `True`): Read the source from both ends.
        attention (`str`, defaults to `"general"`): How well a target position's state fits a source position:
            `"dot"`, their product; `"general"`, with a matrix between them (Luong et al. 2015, arXiv:1508.04025);
            `"additive"`, a small net (Bahdanau et al. 2014, arXiv:1409.0473); `"none"`: the source reaches the decoder
            through its first state alone (Sutskever et al. 2014, arXiv:1409.3215).
        attention_layer (`int`, defaults to 1): The decoder layer, counted from 1, whose output is the query of
            attention. The layers above it, and the output, read the context. 1 with several layers is GNMT's way
            (arXiv:1609.08144): the upper layers remember what was looked at, and training still needs no loop over
            tokens. `decoder_layers` is Luong's way.
        input_feeding (`bool`, defaults to `False`): Give the vector from which a token was chosen to the first layer
            together with the token's embedding (Luong et al. 2015). Every step then waits for the one before, so
            training loops over tokens and is about half as fast.
        scale_embedding (`bool`, defaults to `True`): Multiply embeddings by the root of their size before the
            recurrent layers read them. The table begins small, because the output compares with it; inputs as small
            would make the first epochs slow.
        dropout (`float`, defaults to 0.3): Dropout on the outputs of recurrent layers and attention.
        embedding_dropout (`float`, *optional*): Dropout on embedded tokens; `dropout` by default.
        output_dropout (`float`, *optional*): Dropout on the vector that is compared with the output embeddings;
            `dropout` by default.
        tie_word_embeddings (`bool`, defaults to `True`): One table for the embeddings of source, target and output
            (Press and Wolf 2017, arXiv:1608.05859); `False` gives the output its own.
        use_cache (`bool`, defaults to `True`): Keep the decoder's states between the steps of `generate()`.
        pad_token_id (`int`, defaults to 0): Token that fills up batches.
        bos_token_id (`int`, *optional*, defaults to 2): Token that begins a text.
        eos_token_id (`int` or `list[int]`, *optional*, defaults to 3): Token that ends a text.
        decoder_start_token_id (`int`, defaults to 2): Token that the decoder begins with.

    Raises:
        StrictDataclassError: A field has the wrong type, or the fields contradict each other; the message names the
            field and the reason.

    Example:

    ```python
    >>> from zoo.models.rnn_seq2seq import RNNSeq2SeqConfig, RNNSeq2SeqForConditionalGeneration
    >>> model = RNNSeq2SeqForConditionalGeneration(RNNSeq2SeqConfig(vocab_size=8000))
    ```
    """

    model_type = "rnn_seq2seq"
    attribute_map = {"num_hidden_layers": "encoder_layers"}
    keys_to_ignore_at_inference = ["past_key_values"]

    vocab_size: int = 8000
    embedding_size: int = 256
    hidden_size: int = 512
    encoder_layers: int = 1
    decoder_layers: int = 2
    cell_type: str = "gru"
    bidirectional: bool = True
    attention: str = "general"
    attention_layer: int = 1
    input_feeding: bool = False
    scale_embedding: bool = True
    dropout: float | int = 0.3
    embedding_dropout: float | int | None = None
    output_dropout: float | int | None = None
    tie_word_embeddings: bool = True
    use_cache: bool = True
    pad_token_id: int = 0
    bos_token_id: int | None = 2
    eos_token_id: int | list[int] | None = 3
    decoder_start_token_id: int = 2
    is_encoder_decoder: bool = True

    @property
    def num_states(self) -> int:
        """States that a recurrent layer carries from one token to the next: hidden state, and an LSTM's cell state."""
        return CELL_STATES[self.cell_type]

    def reads_context(self, layer: int) -> bool:
        """Whether what attention answered is known above decoder layer `layer`, counted from 1."""
        return self.attention != "none" and layer >= self.attention_layer

    def validate_choices(self):
        """Fields with a fixed set of values."""
        for field, allowed in {"cell_type": tuple(CELL_STATES), "attention": ATTENTIONS}.items():
            if getattr(self, field) not in allowed:
                raise ValueError(f"{field}={getattr(self, field)!r} is not one of {', '.join(allowed)}")
        if not self.is_encoder_decoder:
            raise ValueError("is_encoder_decoder=False: this family has an encoder and a decoder")

    def validate_numbers(self):
        """Sizes are positive, dropout is a probability, layers exist."""
        for field in ("vocab_size", "embedding_size", "hidden_size", "encoder_layers", "decoder_layers"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}={getattr(self, field)} must be at least 1")
        for field in ("dropout", "embedding_dropout", "output_dropout"):
            value = getattr(self, field)
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"{field}={value} must be at least 0 and below 1")
        if self.bidirectional and self.hidden_size % 2:
            raise ValueError(
                f"hidden_size={self.hidden_size} must be even: a bidirectional encoder gives half to each direction"
            )
        if self.attention != "none" and not 1 <= self.attention_layer <= self.decoder_layers:
            raise ValueError(
                f"attention_layer={self.attention_layer} must be between 1 and decoder_layers={self.decoder_layers}"
            )

    def validate_token_ids(self):
        """Special tokens are in the vocabulary."""
        for field in ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"):
            value = getattr(self, field)
            for token in value if isinstance(value, list) else [value]:
                if token is not None and not 0 <= token < self.vocab_size:
                    raise ValueError(f"{field}={value} is outside the vocabulary of vocab_size={self.vocab_size}")


__all__ = ["RNNSeq2SeqConfig"]
