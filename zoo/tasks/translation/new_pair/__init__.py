"""Continued translation: a trained translator learns another language pair.

- `vocabulary.py`, `vocabulary_growth.py`, `tokenizer.py`: its vocabulary is kept, extended or replaced.
- `transplant.py`: the weights move to the new vocabulary; with LoRA the rows of new tokens are trained as they are.
- `replay.py`, `teacher.py`: language pairs that it must not forget are replayed, and learned from the parent.
- `checks.py`: do the new pairs fit the parent?
- `by_pairs.py`: the section of a study that compares children with models from scratch.
"""
