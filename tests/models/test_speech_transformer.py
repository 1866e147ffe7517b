"""The speech Transformer beyond the contract: sound, padding, CTC, feature extractor and processor."""

from functools import cache

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    AutoFeatureExtractor,
    AutoModelForCTC,
    AutoProcessor,
    PreTrainedTokenizerFast,
    set_seed,
)

from zoo.models.speech_transformer import (
    FAMILY,
    SpeechTransformerConfig,
    SpeechTransformerFeatureExtractor,
    SpeechTransformerForConditionalGeneration,
    SpeechTransformerForCTC,
    SpeechTransformerProcessor,
)
from zoo.models.speech_transformer.generation_speech_transformer import SpeechTransformerCTCScorer

RATE = 16000


@pytest.fixture(scope="module", autouse=True)
def registered():
    from transformers import AutoModelForSpeechSeq2Seq

    FAMILY.register({"speech_recognition": AutoModelForSpeechSeq2Seq})


def tiny_model(model_class=SpeechTransformerForConditionalGeneration, **fields):
    set_seed(0)
    return model_class(SpeechTransformerConfig(**{**FAMILY.tiny, **fields})).eval()


def sound(lengths=(37, 22, 9), seed=0):
    """Noise of a pitch that a "text" names, in rows of different length, and the texts."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(len(lengths), max(lengths), 8, generator=generator) * 0.3
    labels = torch.full((len(lengths), 4), -100)
    mask = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    for row, length in enumerate(lengths):
        pitches = torch.randint(4, (2,), generator=generator)
        features[row, : length // 2, 2 * pitches[0] : 2 * pitches[0] + 2] += 2
        features[row, length // 2 : length, 2 * pitches[1] : 2 * pitches[1] + 2] += 2
        labels[row, :3] = torch.tensor([10 + int(pitches[0]), 10 + int(pitches[1]), 3])
        mask[row, :length] = 1
    return {"input_features": features, "attention_mask": mask, "labels": labels}


@cache
def trained():
    """A tiny model that writes what it hears."""
    model = tiny_model().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(150):
        loss = model(**sound((40, 32, 24, 16) * 4, seed=step)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.generation_config.max_new_tokens = 5
    return model.eval()


def test_it_learns_to_write_what_it_hears():
    inputs = sound((40, 31, 22, 17) * 4, seed=1000)
    labels = inputs.pop("labels")
    written = trained().generate(**inputs)
    assert (written[:, 1:3] == labels[:, :2]).all(1).float().mean() > 0.8


@pytest.mark.parametrize("mode", [{}, {"num_beams": 3}, {"num_beams": 3, "use_cache": False}])
def test_padding_changes_nothing(mode):
    """Each row alone, without a mask, is the row in a batch with more padding of any value."""
    model, inputs = trained(), sound()
    lengths = inputs["attention_mask"].sum(1).tolist()
    more = 11
    features = torch.nn.functional.pad(inputs["input_features"], (0, 0, 0, more))
    mask = torch.nn.functional.pad(inputs["attention_mask"], (0, more))
    features[mask == 0] = 7.0
    features[-1, -1] = float("nan")
    together = model(features, mask, labels=inputs["labels"]).logits
    written = model.generate(features, attention_mask=mask, **mode)
    for row, length in enumerate(lengths):
        alone = inputs["input_features"][row : row + 1, :length]
        logits = model(alone, labels=inputs["labels"][row : row + 1]).logits
        torch.testing.assert_close(logits, together[row : row + 1], rtol=1e-4, atol=1e-4)
        tokens = model.generate(alone, **mode)[0].tolist()
        assert written[row].tolist()[: len(tokens)] == tokens


def test_three_convolutions_leave_an_eighth_and_padding_changes_nothing():
    model, inputs = tiny_model(conv_layers=3), sound((37, 22, 16))
    inputs["input_features"][inputs["attention_mask"] == 0] = float("nan")
    together = model(**inputs)
    assert together.encoder_last_hidden_state.shape[1] == 5  # of 37 frames
    for row, length in enumerate((37, 22, 16)):
        alone = {"input_features": inputs["input_features"][row, None, :length], "labels": inputs["labels"][row, None]}
        torch.testing.assert_close(model(**alone).logits[0], together.logits[row], rtol=1e-4, atol=1e-4)
    assert together.loss.isfinite()


def test_layers_without_a_convolution_have_no_weights_of_one():
    names = tiny_model(conv_kernel_size=0).state_dict()
    assert not any("depthwise" in name or "conv3" in name or "conv_layer_norm" in name for name in names)
    assert any("depthwise" in name for name in tiny_model().state_dict())


@pytest.mark.parametrize(("field", "value"), [("conv_layers", 4), ("conv_kernel_size", 4), ("conv_kernel_size", 1)])
def test_convolutions_that_do_not_fit(field, value):
    with pytest.raises(StrictDataclassError, match=f"{field}={value} must be"):
        SpeechTransformerConfig(**{field: value})


def test_static_cache_writes_the_same():
    model, inputs = trained(), sound()
    inputs.pop("labels")
    static = model.generate(**inputs, cache_implementation="static", disable_compile=True)
    assert torch.equal(static, model.generate(**inputs))


@pytest.mark.slow
def test_a_compiled_step_writes_the_same():
    model, inputs = trained(), sound()
    inputs.pop("labels")
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    plain = model(**inputs, decoder_input_ids=torch.tensor([[2, 10]] * 3)).logits
    torch.testing.assert_close(compiled(**inputs, decoder_input_ids=torch.tensor([[2, 10]] * 3)).logits, plain)


def test_ctc_is_torchs_own_and_counts_real_frames_and_tokens_only():
    model, inputs = tiny_model(), sound()
    encoded = model.model.encoder(inputs["input_features"], inputs["attention_mask"]).last_hidden_state
    expected = torch.nn.functional.ctc_loss(
        model.ctc_head(encoded).log_softmax(-1).transpose(0, 1),
        inputs["labels"][:, :2],
        torch.tensor([10, 6, 3]),  # a quarter of the frames, rounded up
        torch.tensor([2, 2, 2]),
        reduction="sum",
    )
    whole = model(**inputs).loss
    alone = tiny_model(ctc_loss_weight=0.0)
    alone.load_state_dict({n: v for n, v in model.state_dict().items() if "ctc" not in n})
    torch.testing.assert_close(whole, 0.7 * alone(**inputs).loss + 0.3 * expected / 9)


def test_ctc_loads_from_a_model_with_decoder_and_decodes(tmp_path):
    model, inputs = trained(), sound((40, 31, 22, 17), seed=1000)
    model.save_pretrained(tmp_path)
    ctc = AutoModelForCTC.from_pretrained(tmp_path).eval()
    assert type(ctc) is SpeechTransformerForCTC
    labels = inputs.pop("labels")
    tokens = ctc(**inputs).logits.argmax(-1)
    padded = inputs["attention_mask"][:, ::4] == 0
    assert (tokens[padded] == 0).all()
    texts = processor(8).ctc_decode(tokens)
    expected = ["".join(chr(97 + token) for token in row[:2].tolist()) for row in labels]
    # Of a letter that is said twice CTC may write one only.
    assert sum(text == truth for text, truth in zip(texts, expected)) >= 3


def ctc_probability(log_probs, text):
    """Log-probability of all texts that begin with this one, by brute force over all paths; (positions, tokens)."""
    import itertools

    whole = prefix = 0.0
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        merged = [token for place, token in enumerate(path) if place == 0 or token != path[place - 1]]
        written = [token for token in merged if token]
        probability = float(log_probs[torch.arange(len(path)), torch.tensor(path)].sum().exp())
        whole += probability * (written == list(text))
        prefix += probability * (written[: len(text)] == list(text))
    return np.log(whole + 1e-300), np.log(prefix + 1e-300)


def test_ctc_scores_are_those_of_all_paths():
    """Of prefixes and of whole texts, with padding behind a shorter sound, a repeated token, and reordered beams."""
    log_probs = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])
    config = SpeechTransformerConfig(vocab_size=4)
    scorer = SpeechTransformerCTCScorer(log_probs, mask, 0.5, config)
    beams = [[[2], [2], [2], [2]], [[2, 1], [2, 2], [2, 1], [2, 2]], [[2, 1, 1], [2, 1, 2], [2, 2, 1], [2, 1, 1]]]
    for prefixes in beams:
        uniform = torch.zeros(4, 4)
        joint = scorer(torch.tensor(prefixes), uniform)
        gains = 2 * joint - uniform.log_softmax(-1)
        for row, prefix in enumerate(prefixes):
            sound = log_probs[row // 2, : mask[row // 2].sum()]
            whole, before = ctc_probability(sound, prefix[1:])
            assert gains[row, 3] == pytest.approx(whole - before, abs=1e-4)  # the end
            for token in (1, 2):
                expected = ctc_probability(sound, [*prefix[1:], token])[1] - before
                assert gains[row, token] == pytest.approx(expected, abs=1e-4) or expected < -20


def test_joint_decoding_agrees_with_both(tmp_path):
    model, inputs = trained(), sound((40, 31, 22, 17) * 4, seed=1000)
    labels = inputs.pop("labels")
    for mode in ({}, {"num_beams": 3}):
        written = model.generate(**inputs, ctc_weight=0.3, **mode)
        assert (written[:, 1:3] == labels[:, :2]).all(1).float().mean() > 0.7
        almost_none = model.generate(**inputs, ctc_weight=1e-6, **mode)
        assert torch.equal(almost_none, model.generate(**inputs, **mode))
    encoded = model.model.encoder(**inputs)
    mask = inputs["attention_mask"]
    again = model.generate(encoder_outputs=encoded, attention_mask=mask, ctc_weight=0.3, num_beams=3)
    assert torch.equal(again, written)
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path, ctc_decoding_weight=0.3)
    assert torch.equal(loaded.generate(**inputs, num_beams=3), written)
    with pytest.raises(ValueError, match="ctc_weight=0.3 must be below 1"):
        tiny_model(ctc_loss_weight=0.0).generate(**inputs, ctc_weight=0.3)


def test_ctc_alone_learns():
    model = tiny_model(SpeechTransformerForCTC).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(15):
        loss = model(**sound((40, 32, 24, 16))).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_batch_size_is_not_frozen_on_export():
    model, inputs = tiny_model(), sound()
    arguments = (inputs["input_features"], inputs["attention_mask"])
    sizes = {0: torch.export.Dim("batch", min=2, max=64), 1: torch.export.Dim("frames", min=8, max=400)}
    encoder = model.model.encoder
    program = torch.export.export(
        encoder, arguments, dynamic_shapes={"input_features": sizes, "attention_mask": sizes}
    )
    features, mask = (torch.cat([value, value])[:, :24] for value in arguments)
    expected = encoder(features, mask).last_hidden_state
    torch.testing.assert_close(program.module()(features, mask)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_features": torch.zeros(1, 10, 7)}, "7 mel bins, the model reads 8"),
        ({"input_features": torch.zeros(1, 601, 8)}, "601 frames are more than max_source_positions=600"),
        ({"input_features": torch.zeros(1, 10, 8), "attention_mask": torch.ones(1, 9)}, "attention_mask has shape"),
        ({}, "input_features or encoder_outputs"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny_model()(**arguments, decoder_input_ids=torch.tensor([[2]]))


def extractor(**fields):
    return SpeechTransformerFeatureExtractor(**fields)


def tone(seconds=1.0, pitch=440.0, rate=RATE):
    return (0.3 * np.sin(2 * np.pi * pitch * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def processor(bins=80):
    from tokenizers import Tokenizer, decoders, models

    words = {token: number for number, token in enumerate(["<pad>", "<unk>", "<s>", "</s>", *"456789"])}
    words |= {chr(97 + token): token for token in range(10, 32)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.decoder = decoders.Fuse()
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    return SpeechTransformerProcessor(extractor(feature_size=bins), tokenizer)


def test_features_are_loud_where_the_sound_is():
    features = extractor(do_normalize=False)(tone(pitch=440), sampling_rate=RATE)["input_features"][0]
    higher = extractor(do_normalize=False)(tone(pitch=3000), sampling_rate=RATE)["input_features"][0]
    assert features.shape == (100, 80)
    assert features[10:90].mean(0).argmax() < higher[10:90].mean(0).argmax()


def test_features_in_a_batch_are_those_of_each_alone():
    waveforms = [tone(seconds, pitch) for seconds, pitch in ((1.0, 300), (0.31, 800), (0.004, 500))]
    batch = extractor()(waveforms, sampling_rate=RATE, return_tensors="pt")
    assert batch["attention_mask"].sum(1).tolist() == [100, 31, 1]
    for row, waveform in enumerate(waveforms):
        alone = extractor()(waveform, sampling_rate=RATE, return_tensors="pt")["input_features"][0]
        torch.testing.assert_close(batch["input_features"][row, : len(alone)], alone, rtol=1e-4, atol=1e-4)
        assert (batch["input_features"][row, len(alone) :] == 0).all()


def test_mean_and_variance_are_normalised():
    features = extractor()(np.random.default_rng(0).normal(size=RATE) * 0.1, sampling_rate=RATE)["input_features"][0]
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(features.std(0), 1, atol=1e-3)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_any_rate_and_any_channels(rate):
    plain = extractor()(tone(), sampling_rate=RATE)["input_features"][0]
    stereo = np.stack([tone(rate=rate)] * 2)
    for sound_ in (stereo, stereo.T, torch.from_numpy(stereo), (stereo * 2**15).astype(np.int16)):
        features = extractor()([sound_], sampling_rate=rate)["input_features"][0]
        assert features.shape == plain.shape
        assert abs(features[10:-10] - plain[10:-10])[:, :20].mean() < 0.5


@pytest.mark.parametrize(
    ("speech", "message"),
    [([], "empty"), (np.zeros(0), "empty"), (np.full(9, np.nan), "NaN"), (np.zeros((1, 2, 3, 4)), "two axes")],
)
def test_sound_that_is_none_is_refused(speech, message):
    with pytest.raises(ValueError, match=message):
        extractor()([np.asarray(speech)], sampling_rate=RATE)


def test_the_processor_is_saved_and_loaded_in_parts_and_as_a_whole(tmp_path):
    whole = processor()
    whole.save_pretrained(tmp_path)
    tiny_model().config.save_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)
    assert type(again) is SpeechTransformerProcessor
    parts = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert type(parts) is SpeechTransformerFeatureExtractor and parts.to_dict() == whole.feature_extractor.to_dict()
    inputs = again(tone(), text="x", sampling_rate=RATE, return_tensors="pt")
    assert inputs["input_features"].shape == (1, 100, 80) and inputs["labels"].shape[0] == 1
    assert again.batch_decode([[10, 11, 3, 0]], skip_special_tokens=True) == ["kl"]
    with pytest.raises(ValueError, match="give audio, text, or both"):
        again()
