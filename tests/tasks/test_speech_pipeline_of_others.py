"""The pipeline with models of transformers: what it decodes is what transformers' own pipeline decodes."""

import json

import numpy as np
import pytest
import soundfile
import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    GenerationConfig,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
    pipeline,
    set_seed,
)
from transformers.pipelines.automatic_speech_recognition import AutomaticSpeechRecognitionPipeline

import zoo

RATE = 16_000


@pytest.fixture(scope="module")
def whisper():
    """Model, feature extractor and tokenizer of a tiny random Whisper, with timestamps."""
    set_seed(0)
    letters = {letter: number for number, letter in enumerate(sorted(ByteLevel.alphabet()))}
    special = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]
    tokenizer = WhisperTokenizer(vocab=letters, merges=[], unk_token="<|endoftext|>", language=None)
    times = [f"<|{0.02 * step:.2f}|>" for step in range(1501)]
    tokenizer.add_tokens([*special, *times], special_tokens=True)
    end, start, _, _, no_times = tokenizer.convert_tokens_to_ids(special)
    config = WhisperConfig(
        vocab_size=len(tokenizer), num_mel_bins=8, d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        pad_token_id=end, bos_token_id=end, eos_token_id=end, decoder_start_token_id=start,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():  # so that it writes letters rather than times
        model.proj_out.weight[len(letters) :] *= 0.01
    model.generation_config = GenerationConfig(
        max_length=20, num_beams=1, pad_token_id=end, bos_token_id=end, eos_token_id=end,
        decoder_start_token_id=start, no_timestamps_token_id=no_times, is_multilingual=False,
    )  # fmt: skip
    return model, WhisperFeatureExtractor(feature_size=8), tokenizer


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory):
    """Model, feature extractor and tokenizer of a tiny random Wav2Vec2 with CTC."""
    set_seed(0)
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefghij"]
    file = tmp_path_factory.mktemp("wav2vec2") / "vocab.json"
    file.write_text(json.dumps({letter: number for number, letter in enumerate(letters)}))
    config = Wav2Vec2Config(
        vocab_size=len(letters), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8, 8), conv_kernel=(10, 8), conv_stride=(160, 2), num_feat_extract_layers=2,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, pad_token_id=0,
    )  # fmt: skip
    return Wav2Vec2ForCTC(config).eval(), Wav2Vec2FeatureExtractor(), Wav2Vec2CTCTokenizer(str(file))


def both(parts):
    """The library's pipeline and transformers' own, of the same model."""
    model, extractor, tokenizer = parts
    zoo.load_task("speech_recognition")
    ours = pipeline("automatic-speech-recognition", model=model, feature_extractor=extractor, tokenizer=tokenizer)
    assert type(ours).__name__ == "SpeechRecognitionPipeline" and not ours.is_unknown
    return ours, AutomaticSpeechRecognitionPipeline(model, feature_extractor=extractor, tokenizer=tokenizer)


def noise(seconds=1.0):
    return (0.3 * np.random.default_rng(0).standard_normal(int(seconds * RATE))).astype(np.float32)


@pytest.mark.parametrize("options", [{}, {"return_timestamps": True}, {"chunk_length_s": 10, "stride_length_s": 2}])
def test_whisper(whisper, options):
    ours, theirs = both(whisper)
    assert ours.type == "seq2seq_whisper"
    for seconds in (1, 25):
        expected = theirs(noise(seconds), **options)
        assert ours(noise(seconds), **options) == expected and expected["text"]
    assert ("chunks" in expected) == ("return_timestamps" in options)


@pytest.mark.parametrize("options", [{}, {"return_timestamps": "char"}, {"chunk_length_s": 4, "stride_length_s": 1}])
def test_wav2vec2(wav2vec2, options):
    ours, theirs = both(wav2vec2)
    assert ours.type == "ctc"
    expected = theirs(noise(9), **options)
    assert ours(noise(9), **options) == expected and expected["text"]


def test_files_are_read_for_them_too(wav2vec2, tmp_path):
    ours, theirs = both(wav2vec2)
    samples = noise(2)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    assert ours(str(tmp_path / "a.wav")) == theirs(samples) == ours(torch.from_numpy(samples))
