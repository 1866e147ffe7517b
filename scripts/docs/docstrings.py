"""A griffe extension: docstrings in transformers' format become what mkdocstrings reads.

``x (`torch.Tensor` of shape `(batch, length)`, *optional*): Text.`` would show type and default twice, because the
signature has them too. Shapes and choices move into the text.
"""

import inspect
import re
from typing import Any

import griffe

import zoo

ARGUMENT = re.compile(r"^( +)(\*{0,2}\w+) \((`(?:[^\n]|\n(?! *\n))*?)\)(:(?=\s)|$)", re.M)
SECTION = re.compile(r"^(Returns|Example|Examples|Args of a call):[ ]*\n((?:[ ]+[^\n]*(?:\n|$)|\n(?=[ ]+\S))*)", re.M)
REFERENCE = re.compile(r"\[`(~?[\w.]+)`\](?!\[|\()")
PLAIN = re.compile(r"`[\w.\[\], |]+`(?: or `(?:list|tuple)[\w.\[\], |]*`)?")


def argument(match: re.Match[str]) -> str:
    """One entry of `Args`, without the type that the signature has."""
    indent, name, kind = match[1], match[2], " ".join(match[3].split())
    kind = kind.replace(", *optional*", "")
    kind, _, default = kind.partition(", defaults to ")
    shape = kind.split(" of shape ", 1)
    if len(shape) == 2:
        text = f"Of shape {shape[1]}. "
    elif PLAIN.fullmatch(kind):
        text = ""
    else:
        text = f"{kind[0].upper()}{kind[1:]}. "
    return f"{indent}{name}: {text}" + (f"Default: {default}. " if default else "")


def section(match: re.Match[str]) -> str:
    """A section as a paragraph or a list of Markdown."""
    title, body = match[1], inspect.cleandoc(match[2])
    if title == "Args of a call":
        title, body = "Arguments of a call", re.sub(r"^([\w, ]+): ", lambda m: f"- **{m[1]}**: ", body, flags=re.M)
    return f"**{title}**\n\n{body}\n\n"


def reference(match: re.Match[str]) -> str:
    """A link to a public class, or its name alone."""
    name = match[1].lstrip("~").rpartition(".")[2]
    if name not in zoo.__all__:
        return f"`{name}`"
    return f"[`{name}`][{getattr(zoo, name).__module__}.{name}]"


def convert(text: str, attributes: bool) -> str:
    """The docstring in Google's format and Markdown."""
    text = ARGUMENT.sub(argument, inspect.cleandoc(text))
    text = SECTION.sub(section, text)
    text = text.replace("Class attributes:\n", "Attributes:\n")
    if attributes:
        text = re.sub(r"^Args:\n", "Attributes:\n", text, flags=re.M)
    return REFERENCE.sub(reference, text)


class TransformersDocstrings(griffe.Extension):
    """Convert every docstring when it is loaded."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called by griffe for each module, class, function and attribute."""
        if obj.docstring is None:
            return
        # The fields of a config are the attributes of its class: it has no __init__ of its own.
        decorators = str([decorator.value for decorator in getattr(obj, "decorators", [])])
        is_config = obj.is_class and "__init__" not in obj.members and "dataclass" not in decorators
        obj.docstring.value = convert(obj.docstring.value, attributes=is_config)
