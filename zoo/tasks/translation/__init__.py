"""Translation: a text in one language in, the text in another out."""

from .task import TranslationTask

TASK = TranslationTask

__all__ = ["TASK"]
