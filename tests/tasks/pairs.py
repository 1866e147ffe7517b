"""A made-up language, easy to learn: every word has its translation."""

import random
from pathlib import Path

WORDS = {
    "dog": "hundo", "cat": "kato", "bird": "birdo", "man": "viro", "child": "infano", "tree": "arbo", "house": "domo",
    "sees": "vidas", "finds": "trovas", "hears": "audas", "red": "ruja", "old": "maljuna", "small": "eta",
}  # fmt: skip
NOUNS, VERBS, ADJECTIVES = list(WORDS)[:7], list(WORDS)[7:10], list(WORDS)[10:]


def pairs(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """(source, target) sentences, all different."""
    draw = random.Random(seed)
    found: dict[str, str] = {}
    while len(found) < count:
        words = []
        for noun in (draw.choice(NOUNS), draw.choice(NOUNS)):
            words += [*draw.sample(ADJECTIVES, draw.choice((0, 0, 1, 2))), noun, draw.choice(VERBS)]
        words = words[:-1]
        found[" ".join(words).capitalize() + "."] = " ".join(WORDS[word] for word in words).capitalize() + "."
    return list(found.items())


def write_tsv(path: Path, rows: list[tuple[str, str]], header: str = "en\teo") -> Path:
    """A file with one pair a line."""
    path.write_text("\n".join([header, *("\t".join(row) for row in rows)]) + "\n", encoding="utf-8")
    return path
