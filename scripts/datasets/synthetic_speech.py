"""python scripts/datasets/synthetic_speech.py FOLDER [--hours 15] [--seed 0] [--workers 2]

Reads everyday English sentences aloud with flite and espeak-ng, in many voices, speeds and pitches: speech to pretrain
a recognizer on, never to measure one with. Writes FLAC files and metadata.csv (file_name, text, speaker_id), which
`--extra_train_dir FOLDER` reads. The sentences are the English side of Tatoeba in $ZOO_DATA/tatoeba, up to 12 words,
without those that occur in the validation or test split of $ZOO_DATA/speech/speechocean762. Run again, it goes on
where it stopped.
Needs both programs: `apt-get install flite espeak-ng` as root.
"""

import argparse
import csv
import gzip
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.data.audio import load_named_speech
from zoo.data.sources import find_files
from zoo.data.transcripts import normalize_text

RATE = 16_000
MOST_WORDS = 12
# Share of the sentences that flite reads; its voices are more natural, espeak-ng's are many.
FLITE = 0.45
FLITE_VOICES = ("slt", "rms", "awb")
ACCENTS = ("en-us", "en-us-nyc", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029")
VARIANTS = tuple(
    "m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 klatt klatt2 klatt3 klatt4 Alex Alicia Andrea Andy Annie Denis Diogo Gene "
    "Gene2 Henrique Hugo Jacky Lee Marco Mario Michael Mike Nguyen adam anika antonio aunty belinda benjamin boris "
    "caleb david ed edward edward2 grandma grandpa gustave iven iven2 iven3 iven4 john kaukovalta linda marcelo max "
    "michel miguel norbert pablo paul pedro quincy rob robert sandro shelby steph steph2 steph3 travis victor "
    "zac".split()
)


@dataclass(frozen=True)
class Utterance:
    """A sentence and how it is read; everything follows from the seed and its number."""

    number: int
    text: str
    seed: int

    @property
    def file_name(self) -> str:
        """Below the folder; a thousand files a folder."""
        return f"clips/{self.number // 1000:03}/{self.number:06}.flac"

    def voice(self) -> tuple[str, list[str]]:
        """(speaker, command that reads the text aloud into the WAV file that follows)."""
        random = np.random.default_rng([self.seed, self.number, 0])
        if random.random() < FLITE:
            name = FLITE_VOICES[random.integers(len(FLITE_VOICES))]
            stretch, pitch = random.uniform(0.9, 1.6), random.uniform(95, 260)
            settings = ["--setf", f"duration_stretch={stretch:.3f}", "--setf", f"int_f0_target_mean={pitch:.0f}"]
            return f"flite-{name}", ["flite", "-voice", name, *settings, "-t", self.text, "-o"]
        name = f"{ACCENTS[random.integers(len(ACCENTS))]}+{VARIANTS[random.integers(len(VARIANTS))]}"
        speed, pitch, gap = random.integers(85, 180), random.integers(20, 95), random.integers(0, 12)
        return f"espeak-{name}", ["espeak-ng", "-v", name, "-s", str(speed), "-p", str(pitch), "-g", str(gap),
                                  self.text, "-w"]  # fmt: skip

    def write(self, folder: Path) -> float:
        """Read the sentence aloud into its file, unless that is done. Returns the seconds."""
        import soundfile
        import soxr

        path = folder / self.file_name
        if path.is_file():
            return soundfile.info(path).duration
        path.parent.mkdir(parents=True, exist_ok=True)
        made, done = path.with_suffix(".wav"), path.with_suffix(".tmp")
        subprocess.run([*self.voice()[1], str(made)], check=True, capture_output=True)
        samples, rate = soundfile.read(made, dtype="float32")
        made.unlink()
        samples = soxr.resample(samples, rate, RATE)
        random = np.random.default_rng([self.seed, self.number, 1])
        before, after = random.integers(0, RATE // 2, 2)
        samples = np.pad(samples, (before, after)) / max(np.abs(samples).max(), 1e-3)
        # A recording is never digitally silent.
        samples += 10 ** random.uniform(-3.5, -2) * random.standard_normal(len(samples), np.float32)
        soundfile.write(done, 0.5 * samples.clip(-2, 2), RATE, format="FLAC")
        os.replace(done, path)
        return len(samples) / RATE


def read_sentences(seed: int) -> list[str]:
    """Distinct sentences in a random order, none of them in a split that is measured.

    Raises:
        FileNotFoundError: Tatoeba or speechocean762 is not in `$ZOO_DATA`.
    """
    name = "eng-deu.tsv.gz"
    folder = find_files("tatoeba", [name], None)
    if folder is None:
        raise FileNotFoundError(f"$ZOO_DATA/tatoeba/{name} does not exist: tatoeba.org via manythings.org/anki")
    splits = load_named_speech("speechocean762")
    measured = {normalize_text(text, "words") for split in ("validation", "test") for text in splits[split].texts}
    found: dict[str, str] = {}
    with gzip.open(folder / name, "rt", encoding="utf-8") as lines:
        for line in lines:
            sentence = line.split("\t")[0].strip()
            words = normalize_text(sentence, "words")
            plain = re.fullmatch(
                r"[A-Za-z' ,.?!;:-]+", sentence
            )  # programs read digits as words that are not in the text
            if plain and len(words.split()) <= MOST_WORDS and words not in measured:
                found.setdefault(words, sentence)
    sentences = sorted(found.values())
    return [sentences[row] for row in np.random.default_rng([seed]).permutation(len(sentences))]


def speak(
    sentences: list[str], folder: Path, hours: float, seed: int, workers: int
) -> Iterator[tuple[Utterance, float]]:
    """Utterances and their seconds, in order, until there are so many hours."""
    seconds = 0.0
    utterances = [Utterance(number, sentence, seed) for number, sentence in enumerate(sentences)]
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(utterances), 500):
            some = utterances[start : start + 500]
            for utterance, length in zip(some, pool.map(lambda utterance: utterance.write(folder), some)):
                if seconds >= 3600 * hours:
                    return
                seconds += length
                yield utterance, length
            print(f"{start + len(some):,} utterances, {seconds / 3600:.2f} of {hours:g} hours", flush=True)


def main() -> int:
    """Write the corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    missing = [program for program in ("flite", "espeak-ng") if shutil.which(program) is None]
    if missing:
        print(f"error: {' and '.join(missing)} not found: apt-get install {' '.join(missing)}", file=sys.stderr)
        return 1
    try:
        sentences = read_sentences(arguments.seed)
    except (FileNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    arguments.folder.mkdir(parents=True, exist_ok=True)
    total = 0.0
    unfinished = arguments.folder / "metadata.csv.tmp"
    with open(unfinished, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "text", "speaker_id"])
        for utterance, seconds in speak(
            sentences, arguments.folder, arguments.hours, arguments.seed, arguments.workers
        ):
            total += seconds
            writer.writerow([utterance.file_name, utterance.text, utterance.voice()[0]])
    os.replace(unfinished, arguments.folder / "metadata.csv")
    print(f"{arguments.folder}: {total / 3600:.2f} hours")
    return 0


if __name__ == "__main__":
    sys.exit(main())
