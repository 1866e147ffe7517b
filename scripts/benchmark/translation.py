"""python scripts/benchmark/translation.py [RECIPE] [--steps 5] [--rounds 3] [--threads 1] [--clock cpu]

A recipe's encoder-decoder against transformers' MarianMTModel with the same sizes, on the recipe's own pairs, in one
process with the same threads, in turn: target tokens of training a second, in float32 and with bfloat16 autocast, on
batches by tokens; and sentences generated a second, greedily and with 5 beams, 64 at a time, each as long as its true
translation is on average. Both models have random weights, which changes no speed. On a machine with other work,
`--clock cpu` counts the process's own seconds.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import MarianConfig, MarianMTModel

from zoo.training.build import Parts, build
from zoo.training.command_line import parse_run

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
SHARED = (
    "vocab_size d_model encoder_layers decoder_layers encoder_attention_heads decoder_attention_heads encoder_ffn_dim "
    "decoder_ffn_dim activation_function dropout attention_dropout activation_dropout scale_embedding "
    "max_position_embeddings pad_token_id bos_token_id eos_token_id decoder_start_token_id tie_word_embeddings"
).split()
SENTENCES, SMOOTHING = 64, 0.1
Batch = dict[str, torch.Tensor]


def make_peer(config: Any) -> MarianMTModel:
    """Marian with the sizes of the recipe's model; it is post-norm, with sinusoidal positions."""
    fields = {name: getattr(config, name) for name in SHARED}
    return MarianMTModel(MarianConfig(**fields, forced_eos_token_id=None))


def token_batches(parts: Parts, number: int) -> list[Batch]:
    """The first batches by tokens of an epoch."""
    return [collate(parts, rows) for rows in parts.trainer.batch_sampler.batches(0)[:number]]


def collate(parts: Parts, rows: np.ndarray) -> Batch:
    """Rows of the training data as the Trainer would hand them to the model."""
    return parts.trainer.data_collator([parts.data.train[int(row)] for row in rows])


def loss_of(model: Any, batch: Batch) -> torch.Tensor:
    """Smoothed cross entropy, as each model's users compute it."""
    if not isinstance(model, MarianMTModel):
        return model(**batch, label_smoothing=SMOOTHING).loss
    labels = batch["labels"].flatten()
    logits = model(**{name: value for name, value in batch.items() if name != "labels"}, use_cache=False).logits
    return cross_entropy(logits.flatten(0, 1), labels, label_smoothing=SMOOTHING)


def train(model: Any, batches: list[Batch], half: bool) -> None:
    """An optimizer step a batch."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    for batch in batches:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = loss_of(model, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def generate(model: Any, batch: Batch, beams: int) -> None:
    """As many tokens for each sentence as the targets have on average, because random weights never end one."""
    length = round(int((batch["labels"] >= 0).sum()) / len(batch["labels"]))
    model.eval()
    settings = {"num_beams": beams, "min_new_tokens": length, "max_new_tokens": length, "do_sample": False}
    model.generate(batch["input_ids"], attention_mask=batch["attention_mask"], **settings)


def compare(tasks: dict[str, tuple[Callable[[], None], float]], arguments: argparse.Namespace, unit: str) -> None:
    """Time what each name does, in turn; print its units a second and its speed against the last one."""
    clock, rates = CLOCKS[arguments.clock], {name: [] for name in tasks}
    for number in range(arguments.rounds + 1):
        for name, (run, amount) in tasks.items():
            start = clock()
            run()
            if number:  # the first round warms up
                rates[name].append(amount / (clock() - start))
    peer = list(rates)[-1]
    for name, values in rates.items():
        ratio = statistics.median(own / other for own, other in zip(values, rates[peer]))
        print(f"{statistics.median(values):9,.1f} {unit}/{arguments.clock} second  {name}  (median ratio {ratio:.2f})")


def tokens(batches: list[Batch]) -> int:
    """Target tokens, without padding."""
    return sum(int((batch["labels"] >= 0).sum()) for batch in batches)


def main() -> None:
    """Print the medians and their ratios to the peer's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="transformer-translator-en-de")
    parser.add_argument("--model_overrides", default="", help="fields of the model, as in d_model=256,dropout=0.1")
    for name, default in {"steps": 5, "rounds": 3, "threads": 1, "batch_tokens": 4096}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--output_dir", folder, "--use_cpu", "true", "--batch_tokens", str(arguments.batch_tokens)]
        if arguments.model_overrides:
            flags += ["--model_overrides", arguments.model_overrides]
        parts = build(parse_run([arguments.recipe, *flags]))
    models = {"zoo": parts.model, "marian": make_peer(parts.model.config)}
    for name, model in models.items():
        model.generation_config.eos_token_id = model.generation_config.max_length = None
        print(f"{name}: {sum(weight.numel() for weight in model.parameters()):,} parameters")
    batches = token_batches(parts, arguments.steps)
    for half in (False, True):
        print(f"training, {'bfloat16 autocast' if half else 'float32'}, batches of {arguments.batch_tokens} tokens:")
        runs = {name: (partial(train, model, batches, half), tokens(batches)) for name, model in models.items()}
        compare(runs, arguments, "tokens")
    sentences = collate(parts, np.random.default_rng(0).permutation(len(parts.data.train))[:SENTENCES])
    for beams in (1, 5):
        print(f"generation, batch of {SENTENCES}, {'greedy' if beams == 1 else f'{beams} beams'}:")
        runs = {name: (partial(generate, model, sentences, beams), SENTENCES) for name, model in models.items()}
        compare(runs, arguments, "sentences")


if __name__ == "__main__":
    main()
