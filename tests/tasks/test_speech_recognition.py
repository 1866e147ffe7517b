"""The task speech_recognition: texts, rows, augmentation, metrics, checks, and a whole run with its pipeline."""

import json

import jiwer
import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor, pipeline

import zoo
from zoo.commands import main
from zoo.data.audio import SpeechSplit
from zoo.data.audio_features import load_features
from zoo.data.transcripts import normalize_text, train_tokenizer
from zoo.registry import load_family
from zoo.tasks.speech_recognition import TASK
from zoo.tasks.speech_recognition.arguments import SpeechRecognitionArguments
from zoo.tasks.speech_recognition.augment import Augmentation, join, random_numbers
from zoo.tasks.speech_recognition.dataset import SpeechDataset
from zoo.tasks.speech_recognition.metrics import count_errors, speech_metrics
from zoo.tasks.speech_recognition.report import text_report

RATE = 8000
PITCHES = {"low": 300, "mid": 900, "high": 2000}
RECIPE = """\
family: speech_transformer
task: speech_recognition
data:
  sampling_rate: 8000
  max_seconds: 1.0
  max_target_length: 16
  join_clips: 2
  join_pause: 0.05
  num_beams: 2
  speed_perturbation: 0.1
  gain: 3.0
  noise: 20.0
  frequency_masks: 1
  time_masks: 1
model:
  num_mel_bins: 20
  conv_channels: 4
  d_model: 32
  encoder_layers: 1
  decoder_layers: 1
  encoder_attention_heads: 2
  decoder_attention_heads: 2
  encoder_ffn_dim: 32
  decoder_ffn_dim: 32
  max_source_positions: 150
  max_target_positions: 32
  dropout: 0.0
training:
  num_train_epochs: 50
  eval_strategy: steps
  eval_steps: 50
  batch_tokens: 800
  learning_rate: 1.0e-2
  lr_scheduler_type: constant
  generation_num_beams: 1
  generation_max_length: 17
"""


def tone(word, seconds=0.3, rate=RATE, seed=0):
    random = np.random.default_rng(seed)
    samples = 0.3 * np.sin(
        2 * np.pi * PITCHES[word] * random.uniform(0.95, 1.05) * np.arange(int(seconds * rate)) / rate
    )
    return (samples + 0.01 * random.standard_normal(len(samples))).astype(np.float32)


def write_corpus(folder, rows=60, bad=()):
    """Tones, each named by its pitch, of four speakers."""
    folder.mkdir(exist_ok=True)
    lines = ["file_name,text,speaker_id,age"]
    for row in range(rows):
        word = list(PITCHES)[row % 3]
        soundfile.write(folder / f"{row}.wav", tone(word, 0.25 + 0.01 * (row % 7), seed=row), RATE)
        lines.append(f"{row}.wav,{word.title()},s{row % 4},{10 + row % 4}")
    (folder / "metadata.csv").write_text("\n".join([*lines, *bad]) + "\n")
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "tones")


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "tones.yaml").write_text(RECIPE)
    arguments = [
        "--train_dir",
        str(corpus),
        "--group_columns",
        "age<12",
        "--disable_tqdm",
        "true",
        "--use_cpu",
        "true",
    ]
    sizes = ["--validation_size", "0.25", "--test_size", "0.25"]
    assert main(["train", str(folder / "tones.yaml"), "--output_dir", str(folder / "run"), *arguments, *sizes]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def recognize(trained):
    return pipeline("automatic-speech-recognition", model=str(trained))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.getbasetemp() / "features"
    monkeypatch.setattr("zoo.data.audio_features.cache_folder", lambda: folder)


@pytest.fixture(scope="module", autouse=True)
def cache_of_module(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.getbasetemp() / "features"
        patch.setattr("zoo.data.audio_features.cache_folder", lambda: folder)
        yield


@pytest.mark.parametrize(
    ("how", "expected"),
    [("none", "Don’t  stop, ‘now’!"), ("lower", "don’t stop, ‘now’!"), ("words", "don't stop now")],
)
def test_texts_are_normalised(how, expected):
    assert normalize_text(" Don’t  stop, ‘now’! ", how) == " ".join(expected.split())


@pytest.mark.parametrize("kind", ["characters", "bpe"])
def test_texts_come_back_from_tokens(kind):
    texts = ["one two", "two three", "one", "إلغاء تحريك", "three two one"] * 3
    tokenizer = train_tokenizer(texts, kind, 40)
    assert (len(tokenizer) <= 40) and tokenizer.pad_token_id == 0 and tokenizer.eos_token_id == 3
    ids = tokenizer(texts)["input_ids"]
    assert all(row[-1] == 3 and 1 not in row for row in ids)
    assert tokenizer.batch_decode(ids, skip_special_tokens=True) == texts
    assert 1 in tokenizer("xyz")["input_ids"]
    words = train_tokenizer(["one", "two"], kind, 40)  # that are joined later
    assert words.decode(words("two one")["input_ids"], skip_special_tokens=True) == "two one"
    if kind == "characters":
        assert len(ids[2]) == 4
    else:
        with pytest.raises(ValueError, match="vocabulary_size=5 is too small"):
            train_tokenizer(texts, kind, 5)


def rows_of(count=12, speakers=3, join=1, training=False, lengths=None, extra=0, **options):
    class Frames:
        lengths = np.full(count, 10)

        def __getitem__(self, row):
            return np.full((10, 4), row, np.float16)

    names = [f"s{row % speakers}" for row in range(count)]
    split = SpeechSplit([b""] * count, [f"w{row}" for row in range(count)], [""] * count, names, extra=extra)
    features = Frames()
    features.lengths = Frames.lengths if lengths is None else lengths
    return SpeechDataset(features, split, None, join=join, training=training, **options)


def test_training_strings_are_of_one_speaker_and_change_every_epoch():
    rows = rows_of(60, join=3, training=True)
    first = [tuple(string) for string in rows.strings]
    sizes, lengths = [len(string) for string in first], rows.lengths.copy()
    assert set(sizes) == {1, 2, 3} and sorted(string[0] for string in first) == list(range(60))
    assert all(len({utterance % 3 for utterance in string}) == 1 for string in first)
    rows.set_epoch(1)
    second = [tuple(string) for string in rows.strings]
    assert second != first and [len(string) for string in second] == sizes and (rows.lengths == lengths).all()
    rows.set_epoch(0)
    assert [tuple(string) for string in rows.strings] == first
    assert rows[3].key == (0, 3) and rows[3].text == " ".join(f"w{u}" for u in first[3])


def test_evaluation_has_each_utterance_alone_and_in_one_string():
    rows = rows_of(60, join=3)
    joined = rows.strings[60:]
    assert [list(string) for string in rows.strings[:60]] == [[row] for row in range(60)]
    said = np.concatenate(joined).tolist()
    assert len(said) == len(set(said)) >= 60 - 3 and set(map(len, joined)) == {2, 3}
    assert rows.texts[7] == "w7" and rows.speakers[7] == "s1" and len(rows.take(10)) == 10
    assert rows.take(10).lengths.shape == (10, 1)
    measured = rows_of(60, join=3, training=True).measured
    assert not measured.training and len(measured) > 60 and rows.measured is rows


def test_a_last_utterance_is_not_joined_to_nothing():
    rows = rows_of(7, speakers=1, join=2)
    assert [len(string) for string in rows.strings] == [1] * 7 + [2] * 3


@pytest.mark.parametrize("join", [1, 2])
def test_extra_utterances_take_turns_with_others_of_their_length(join):
    lengths = np.r_[np.full(6, 10), 31, 20, 32, 21, 33, 22, 99]
    rows = rows_of(13, join=join, training=True, lengths=lengths, extra=7, extra_epochs=3)
    heard = []
    for epoch in range(3):
        rows.set_epoch(epoch)
        strings = rows.strings[6:]
        assert len(rows) == 8 and [len(string) for string in strings] == [1, 1]
        assert rows.lengths[6:, 0].tolist() == [22, 33]
        heard += [int(string[0]) for string in strings]
        assert lengths[heard[-2]] < 30 < lengths[heard[-1]] < 40
    assert sorted(heard) == [6, 7, 8, 9, 10, 11]
    assert not set(np.concatenate(rows.measured.strings)) & set(range(6, 13))


def noise_features(frames=200, bins=40):
    return np.random.default_rng(0).normal(size=(frames, bins)).astype(np.float32)


def test_augmentation_follows_from_the_key():
    everything = Augmentation(0.1, 0.1, 3.0, 10.0, 2, 2)
    features = noise_features()

    def change(*key):
        random = random_numbers(*key)
        return everything.mask(everything.change(features, random), random)

    np.testing.assert_array_equal(change(0, 1, 2), change(0, 1, 2))
    assert len({change(0, 1, row).tobytes() for row in range(5)} | {change(0, 2, 2).tobytes()}) == 6
    assert features.shape == (200, 40)


def test_each_augmentation_does_what_it_says():
    features, random = noise_features(), random_numbers(0)
    assert Augmentation().change(features, random) is features
    lengths = {len(Augmentation(speed=0.1).warp(features, random)) for _ in range(50)}
    assert 180 < min(lengths) < 190 and 210 < max(lengths) < 224
    peak = np.zeros((5, 40), np.float32)
    peak[:, 20] = 1
    places = {int(Augmentation(frequency_warp=0.2).warp(peak, random)[0].argmax()) for _ in range(30)}
    assert min(places) < 19 and max(places) > 21
    masked = Augmentation(frequency_masks=2, time_masks=2).mask(features, random_numbers(4))
    assert 0 < (masked == 0).mean() < 0.6
    silence = np.full((100, 40), -10.0, np.float32)
    silence[:20] = 5
    louder = [Augmentation(noise=10.0).add_noise(silence, random) for _ in range(20)]
    raised = [clip[50:].mean() > -9 for clip in louder]
    assert any(raised) and not all(raised) and all(clip[:20].mean() < 6 for clip in louder)
    assert abs(Augmentation(gain=6.0).loudness(silence, random)[0, 0] - 5) <= 6 * np.log(10) / 10


def test_joined_clips_have_quiet_pauses():
    clips = [np.full((10, 4), 5.0, np.float16), np.full((7, 4), 6.0, np.float16)]
    clips[0][:3] = -5
    assert join(clips, random_numbers(0)).shape == (17, 4)
    joined = join(clips, random_numbers(0), pause=30)
    pause = joined[10:-7]
    assert 0 < len(pause) <= 30 and pause.mean() < -4 and (joined[-7:] == 6).all()


def test_error_rates_are_those_of_jiwer():
    references = ["one two three", "four", "five six", "seven eight nine"]
    predictions = ["one too three", "four four", "", "seven nine"]
    metrics = speech_metrics(references, predictions, {"first": np.array([True, False, False, False])}, True)
    assert metrics["wer"] == pytest.approx(100 * jiwer.wer(references, predictions))
    assert metrics["cer"] == pytest.approx(100 * jiwer.cer(references, predictions))
    assert metrics["sentence_accuracy"] == 0 and metrics["n"] == 4 and metrics["words"] == 9
    assert metrics["wer_low"] <= metrics["wer"] <= metrics["wer_high"]
    assert [metrics[kind] * 9 / 100 for kind in ("substitutions", "deletions", "insertions")] == pytest.approx(
        [1, 3, 1]
    )
    assert metrics["wer_first"] == pytest.approx(100 / 3) and metrics["n_first"] == 1
    assert count_errors(references, predictions).sum(0).tolist() == [5, 1, 3, 1]
    with pytest.raises(ValueError, match="got 1 and 4"):
        speech_metrics(references, ["one"])


def test_the_report_shows_errors_by_length_speaker_and_word(tmp_path):
    rows = rows_of(60, join=3)
    texts = ["w0", *(text.replace("w5", "w6") for text in rows.texts[1:])]
    metrics = speech_metrics(rows.texts, texts, rows.groups([]), with_intervals=True)
    report = text_report(metrics, texts, rows, tmp_path)
    tables = report.tables
    assert [row["n"] for row in tables["by_length"]][0] == 60 and len(tables["by_speaker"]) == 3
    assert tables["samples"][0]["wer"] == 0 and tables["samples"][-1]["wer"] == 100
    assert tables["confused_words"][0]["said"].startswith("w5") and report.plots["wer_by_length"].is_file()
    for line in (f"WER {metrics['wer']:.2f}%", "single: WER", "3 speakers: WER", "words 1: WER", "said: w5"):
        assert line in report.text


def test_groups_are_those_of_columns():
    rows = rows_of(4)
    rows.split.columns |= {"age": [9, 12, 30, 11], "gender": ["f", "m", "f", "f"]}
    groups = {name: np.flatnonzero(mask).tolist() for name, mask in rows.groups(["age<12", "gender", "no"]).items()}
    assert groups == {"age_below_12": [0, 3], "age_from_12": [1, 2], "gender_f": [0, 2, 3], "gender_m": [1]}


def load(corpus, **arguments):
    config = load_family("speech_transformer").config_class(num_mel_bins=20, max_source_positions=150)
    defaults = {"train_dir": str(corpus), "sampling_rate": RATE, "max_seconds": 1.0}
    task = TASK(SpeechRecognitionArguments(**{**defaults, **arguments}))
    return task.load_data(config)


def test_bad_utterances_are_named_and_left_out(tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(4000), RATE)
    soundfile.write(tmp_path / "long.wav", tone("low", 2), RATE)
    (tmp_path / "empty.wav").write_bytes(b"")
    folder = write_corpus(tmp_path / "tones")
    bad = ["silence.wav,low", "long.wav,low", "empty.wav,low", "nowhere.wav,low"]
    texts = ["0.wav,", "0.wav,العربية", "0.wav," + 100 * "low "]
    lines = [f"{'' if 'wav,low' not in line or line[0] == '0' else '../'}{line},s9,9" for line in (*bad, *texts)]
    write_corpus(folder, bad=lines)
    validation = write_corpus(tmp_path / "validation", 6)
    data = load(folder, validation_dir=str(validation), test_size=0)
    assert data.notes["left_out"] == {"train": 6, "validation": 0} and data.test is None
    text = "\n".join(data.warnings)
    for message in ("metadata.csv:62 (silence.wav): left out of train: it is silent", "2.0 seconds are more than max",
                    "the file is empty", "does not exist", "its text is missing"):  # fmt: skip
        assert message in text
    with pytest.raises(ValueError, match=r"7 of 13 utterances of train cannot be used; the first: metadata.csv:8 "):
        load(write_corpus(folder, 6, [lines[0]] * 7), test_size=0, validation_dir=str(validation))


def test_the_vocabulary_of_a_parent_holds(corpus, trained, tmp_path):
    folder = write_corpus(tmp_path / "tones", bad=["0.wav,ال عربية,s9,9", "1.wav,löw,s9,9"])
    config = load_family("speech_transformer").config_class.from_pretrained(trained)
    sources = {"train_dir": str(folder), "validation_dir": str(corpus), "test_dir": str(corpus)}
    task = TASK(SpeechRecognitionArguments(**sources, max_seconds=1.0, max_target_length=16))
    data = task.load_data(config, AutoProcessor.from_pretrained(trained))
    assert data.warnings == [
        "metadata.csv:62 (0.wav): left out of train: its text has no character of the vocabulary: ال عربية",
        "1 of 61 texts of train have characters that the vocabulary lacks, which the model cannot write: ö",
    ]
    assert data.model_fields["vocab_size"] == config.vocab_size


def test_extra_speech_is_for_training_only(corpus, tmp_path):
    extra = write_corpus(tmp_path / "extra", 9, ["nowhere.wav,low,s0,9"])
    data = load(corpus, validation_size=0.25, test_size=0.25, extra_train_dir=str(extra), extra_epochs=2)
    plain = load(corpus, validation_size=0.25, test_size=0.25)
    assert len(data.train) == len(plain.train) + 9 // 2 and len(data.train.measured) == len(plain.train.measured)
    assert len(data.validation) == len(plain.validation) and len(data.test) == len(plain.test)
    assert data.notes["hours"].keys() == {"train", "validation", "test", "extra_train"}
    assert data.notes["left_out"]["train"] == 1 and data.fingerprint["train"] != plain.fingerprint["train"]


def test_a_group_that_the_data_lacks_is_named_before_training(corpus):
    data = load(corpus, validation_size=0.25, group_columns=["gender", "age<12"])
    assert [line for line in data.warnings if "group_columns" in line] == [
        "no error rates by gender (group_columns): the data has age"
    ]


def test_speakers_are_not_shared_between_splits(corpus):
    data = load(corpus, validation_size=0.25, test_size=0.25)
    names = [set(split.speakers) for split in data.splits().values()]
    assert sum(map(len, names)) == 4 and not names[0] & names[1] and not names[1] & names[2]
    assert load(corpus, max_train_samples=5, validation_size=0.25).train.features.lengths.size == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train_dir": None}, "no data: give --train_dir"),
        ({"train_dir": None, "dataset_name": "fsdd", "test_dir": "x"}, "--test_dir needs --train_dir"),
        ({"max_seconds": 2.0}, "max_source_positions=150"),
        ({"max_target_length": 1000}, "max_target_positions=448"),
        ({"join_clips": 50}, "longer than max_source_positions"),
        ({"extra_train_dir": "nowhere"}, "nowhere does not exist"),
        ({"extra_epochs": 0}, "extra_epochs=0 must be at least 1"),
        ({"text_normalization": "upper"}, "not one of none, lower, words"),
        ({"noise": 1.0, "speed_perturbation": 1.5}, "speed_perturbation=1.5 is a share"),
    ],
)
def test_arguments_that_do_not_fit(corpus, arguments, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load(corpus, **{"validation_size": 0.25, **arguments})


def test_a_run_leaves_everything(trained):
    record = json.loads((trained / "results.json").read_text())
    test = record["metrics"]["test"]
    assert test["wer"] < 60 and test["n"] == test["n_single"] + test["n_joined"] and "wer_age_below_12" in test
    assert record["fit"]["metric"] == "wer" and record["baselines"]["most_frequent_text"]["wer"] > 50
    assert record["tables"]["samples"] and record["tables"]["by_length"] and record["tables"]["by_speaker"]
    assert record["data"]["notes"]["speakers"] == {"train": 2, "validation": 1, "test": 1}
    for name in ("attention", "learning_curves"):
        assert (trained / "pictures" / f"{name}.png").is_file()
    model = AutoModelForSpeechSeq2Seq.from_pretrained(trained)
    assert model.generation_config.num_beams == 2 and model.generation_config.max_length == 17


def test_the_same_metrics_again_and_a_run_that_goes_on(trained, corpus, capsys, tmp_path):
    assert main(["evaluate", str(trained)]) == 0
    record = json.loads((trained / "results.json").read_text())
    assert f"test: wer {record['metrics']['test']['wer']:.4f}" in capsys.readouterr().out
    flags = ["--num_train_epochs", "1", "--disable_tqdm", "true", "--use_cpu", "true", "--skip_test", "true"]
    start = ["--model_name_or_path", str(trained), "--output_dir", str(tmp_path / "again")]
    assert main(["train", str(trained / "recipe.yaml"), *start, *flags]) == 0
    before = json.loads((tmp_path / "again" / "results.json").read_text())["before"]
    assert before["validation"]["wer"] == pytest.approx(record["metrics"]["validation"]["wer"])
    assert f"validation wer: {before['validation']['wer']:.2f} before" in capsys.readouterr().out


def test_the_pipeline_is_ours_and_generates(recognize):
    assert type(recognize).__name__ == "SpeechRecognitionPipeline" and recognize.type == "seq2seq"


@pytest.mark.parametrize("word", list(PITCHES))
def test_the_pipeline_reads_any_sound(recognize, tmp_path, word):
    samples = tone(word, seed=99)
    expected = recognize(samples)
    assert set(expected) == {"text"} and expected["text"] in (*PITCHES, "low low", "mid mid", "high high")
    for name, options in (("a.wav", {}), ("a.flac", {}), ("b.wav", {"subtype": "PCM_24"})):
        soundfile.write(tmp_path / name, samples, RATE, **options)
        assert recognize(str(tmp_path / name)) == expected
    content = (tmp_path / "a.flac").read_bytes()
    stereo = np.stack([samples, samples])
    for sound in (
        content,
        torch.from_numpy(samples),
        {"array": samples, "sampling_rate": RATE},
        {"raw": stereo, "sampling_rate": RATE},
        {"bytes": content, "path": None},
        {"path": str(tmp_path / "a.wav")},
    ):
        assert recognize(sound) == expected
    faster = tone(word, rate=48000, seed=99)
    soundfile.write(tmp_path / "c.mp3", np.stack([faster, faster], 1), 48000)
    assert recognize(str(tmp_path / "c.mp3"))["text"]
    batch = recognize([samples, tone("mid"), str(tmp_path / "a.wav")], batch_size=2)
    assert batch[0] == batch[2] == expected


def test_long_sound_is_divided_and_not_cut(recognize):
    parts = [part for word in ("low", "high", "mid", "low") for part in (tone(word, 0.4), np.zeros(1600, np.float32))]
    with pytest.warns(UserWarning, match="divided at quiet moments"):
        text = recognize(np.concatenate(parts))["text"]
    assert len(text.split()) >= 2


def test_the_pipeline_refuses_what_is_no_sound(recognize, tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "video.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(500))
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan, np.float32), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "whole.flac", tone("low"), RATE)
    content = (tmp_path / "whole.flac").read_bytes()
    for sound, message in (
        (content[: len(content) // 2], "the sound is truncated|the sound is damaged"),
        (str(tmp_path / "empty.wav"), "empty.wav is empty"),
        (str(tmp_path / "video.mp4"), "video.mp4 is damaged, or not WAV"),
        (str(tmp_path / "nan.wav"), "NaN"),
        (np.zeros(0, np.float32), "no samples"),
        ({"array": np.zeros(9)}, "sampling_rate"),
    ):
        with pytest.raises(ValueError, match=message):
            recognize(sound)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        recognize("nowhere.wav")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        recognize(str(tmp_path))
    with pytest.raises(TypeError, match="expected a path"):
        recognize(7)


def test_an_hour_is_divided_into_parts_that_the_model_reads(recognize):
    hour = np.random.default_rng(0).standard_normal(3600 * RATE).astype(np.float32)
    with pytest.warns(UserWarning, match="3,600.0 seconds of sound are more than the 1.5"):
        parts = recognize.divide(hour)
    assert max(map(len, parts)) <= recognize.limit and np.array_equal(np.concatenate(parts), hour)


def test_silence_has_no_text(recognize, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    with pytest.warns(UserWarning, match="silence.wav is silent"):
        batch = recognize([str(tmp_path / "silence.wav"), tone("low")], batch_size=2)
    assert batch[0] == {"text": ""} and batch[1] == recognize(tone("low")) and batch[1]["text"]
    with pytest.warns(UserWarning, match="divided"):
        parts = list(recognize.preprocess(np.concatenate([tone("low", 1), np.zeros(3 * RATE, np.float32)])))
    assert [part["is_last"] for part in parts] == [True]


def test_ctc_models_have_the_pipeline_too(trained):
    family = load_family("speech_transformer")
    [ctc_class] = family.other_model_classes.values()
    processor = AutoProcessor.from_pretrained(trained)
    recognize = pipeline(
        "automatic-speech-recognition",
        model=ctc_class.from_pretrained(trained),
        tokenizer=processor.tokenizer,
        feature_extractor=processor.feature_extractor,
    )
    texts = [recognize(tone(word, 0.3, seed=7))["text"] for word in PITCHES]
    assert sum(text == word for text, word in zip(texts, PITCHES)) >= 2


def test_features_of_a_split_are_cached(corpus):
    data = load(corpus, validation_size=0.25)
    extractor = TASK(SpeechRecognitionArguments(sampling_rate=RATE)).make_feature_extractor(
        load_family("speech_transformer").config_class(num_mel_bins=20)
    )
    again = load_features(data.validation.split, extractor, 1.0)
    np.testing.assert_array_equal(again.frames, data.validation.features.frames)
    assert zoo.load_task("speech_recognition") is TASK
