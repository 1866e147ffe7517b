"""Summarization: a text in, its summary out."""

from .task import SummarizationTask

TASK = SummarizationTask

__all__ = ["TASK"]
