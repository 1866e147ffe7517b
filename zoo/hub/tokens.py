"""Access tokens and other secrets: found before publishing, and removed from messages."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

HIDDEN = "<token>"
# Kind -> pattern; the forms are those that the issuers document.
SECRETS = {
    "Hugging Face token": r"\b(?:hf|api_org)_[A-Za-z0-9]{30,}\b",
    "GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})\b",
    "GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}\b",
    "AWS key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "Google key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "Slack token": r"\bxox[abprs]-[0-9A-Za-z-]{10,}\b",
    "OpenAI or Anthropic key": r"\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{32,}\b",
    "Weights & Biases key": r"(?i)wandb[^\n]{0,20}key[^\n]{0,5}\b[0-9a-f]{40}\b",
    "private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----",
    "password in an address": r"://[^/\s:@\"']+:[^/\s:@\"']+@",
}
HOME_PATH = re.compile(r"(?:/home/|/Users/|[A-Z]:\\{1,2}Users\\{1,2})[\w.-]+[/\\]|(?<![\w/.])/root/\w")
TEXTS = (".json", ".jinja", ".md", ".py", ".txt", ".yaml", ".yml")


def known_tokens() -> list[str]:
    """The token that this process would use, and those in its environment."""
    tokens = [os.environ.get(name, "").strip() for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")]
    try:
        from huggingface_hub import get_token

        tokens.append(get_token() or "")
    except (OSError, ImportError, UnicodeError):
        pass
    return sorted({token for token in tokens if len(token) >= 8}, key=len, reverse=True)


def scrub(text: str) -> str:
    """A text without the tokens of this process, and without anything that looks like one of the Hub's."""
    for token in known_tokens():
        for form in (token, repr(token)[1:-1], ascii(token)[1:-1]):
            text = text.replace(form, HIDDEN)
    return re.sub(SECRETS["Hugging Face token"], HIDDEN, text)


def _lines(folder: Path, files: list[Path]) -> Iterator[tuple[str, str]]:
    """("FILE, line N", text) of every line of the text files."""
    for file in files:
        if file.suffix in TEXTS:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            yield from ((f"{file.relative_to(folder)}, line {n}", line) for n, line in enumerate(lines, 1))


def find_secrets(folder: Path, files: list[Path]) -> list[str]:
    """ "FILE, line N: KIND" of every secret in the text files; never the secret."""
    secrets, tokens = [], known_tokens()
    for where, line in _lines(folder, files):
        kinds = [kind for kind, pattern in SECRETS.items() if re.search(pattern, line)]
        kinds += ["your own token"] if any(token in line for token in tokens) else []
        secrets += [f"{where}: {kind}" for kind in kinds[:1]]
    return secrets


def find_home_paths(folder: Path, files: list[Path]) -> list[str]:
    """ "FILE, line N" of every line that names a file in somebody's home folder: not secret, but seldom intended."""
    return [where for where, line in _lines(folder, files) if HOME_PATH.search(line)]


__all__ = ["find_home_paths", "find_secrets", "scrub"]
