"""A card's generated blocks, and what a person wrote between them."""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

BEGIN = "<!-- generated: {name}; `zoo card` rewrites this block and keeps the text outside of it -->"
END = "<!-- end: {name} -->"
# Digest of the text outside of the blocks when the library wrote the card: it shows whether somebody edited it since.
MARK = "<!-- own text: {digest} -->"
# Metadata that the library writes, or omits where it has no value; every other key is a person's.
GENERATED_KEYS = (
    "library_name", "pipeline_tag", "license", "license_name", "license_link", "language", "datasets", "metrics",
    "base_model", "base_model_relation", "tags", "model-index",
)  # fmt: skip
_BLOCK = re.compile(r"<!-- generated: (\w+)[^>]*-->\n(.*?)<!-- end: \1 -->\n?", flags=re.S)
_MARK = re.compile(r"\n*<!-- own text: (\w+) -->\n*")
_HEAD = re.compile(r"---\r?\n(.*?)\r?\n---\r?(?:\n|$)", flags=re.S)


@dataclass
class Card:
    """A card in its parts.

    Args:
        head: The metadata.
        blocks: Name -> text of each generated block, in order.
        own: Name of the block before it ("" before the first) -> what a person wrote there.
        mark: Digest of the own text when the library last wrote the card; None without a mark.
    """

    head: dict[str, Any]
    blocks: dict[str, str]
    own: dict[str, str] = field(default_factory=dict)
    mark: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Card":
        """Split a card's text; without blocks, all of it is a person's.

        Raises:
            ValueError: The metadata is not a YAML mapping.
        """
        head: Any = {}
        match = _HEAD.match(text)
        if match is not None:
            text = text[match.end() :]
            try:
                head = yaml.safe_load(match[1])
            except yaml.YAMLError as error:
                raise ValueError(f"README.md: its metadata is not YAML: {' '.join(str(error).split())}") from None
            if not isinstance(head, dict):
                raise ValueError("README.md: its metadata must be a mapping")
        marks = _MARK.findall(text)
        text = _MARK.sub("\n", text)
        blocks, own = {}, {}
        position, before = 0, ""
        for block in _BLOCK.finditer(text):
            own[before] = text[position : block.start()].strip("\n")
            blocks[block[1]], before, position = block[2].strip("\n"), block[1], block.end()
        own[before] = text[position:].strip("\n")
        own = {name: text for name, text in own.items() if text.strip()}
        return cls(head, blocks, own, marks[-1] if marks else None)

    @property
    def extra(self) -> dict[str, Any]:
        """Metadata that the library does not write."""
        return {key: value for key, value in self.head.items() if key not in GENERATED_KEYS}

    @property
    def own_digest(self) -> str:
        """Digest of everything in this card that a person wrote."""
        content = yaml.safe_dump([sorted(self.extra.items(), key=str), sorted(self.own.items())])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def edited(self) -> bool:
        """Whether somebody changed the text outside of the blocks after the library wrote the card."""
        return self.own_digest != self.mark

    def with_own_text_of(self, other: "Card") -> "Card":
        """This generated card with a person's text and metadata from another; every text keeps its place."""
        own: dict[str, list[str]] = {}
        place = ""
        for name in ["", *other.blocks]:
            place = name if name in self.blocks else place  # the text after a block that was removed moves up
            if name in other.own:
                own.setdefault(place, []).append(other.own[name])
        texts = {name: "\n\n".join(parts) for name, parts in own.items()}
        return Card({**self.head, **other.extra}, self.blocks, texts)

    def render(self) -> str:
        """The card's text, marked with the digest of its own text."""
        parts = [self.own[""]] if "" in self.own else []
        for name, text in self.blocks.items():
            parts.append(f"{BEGIN.format(name=name)}\n\n{text.strip()}\n\n{END.format(name=name)}")
            parts += [self.own[name]] if name in self.own else []
        head = yaml.safe_dump(self.head, sort_keys=False, allow_unicode=True)
        return f"---\n{head}---\n\n" + "\n\n".join([*parts, MARK.format(digest=self.own_digest)]) + "\n"


def merge(generated: Card, earlier: Card | None) -> str:
    """A generated card's text with what a person wrote into an earlier one."""
    return (generated if earlier is None else generated.with_own_text_of(earlier)).render()


__all__ = ["Card", "merge"]
