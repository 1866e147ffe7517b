"""Scores of CTC for texts that a decoder writes token by token."""

from typing import Any

import torch
from transformers.generation import LogitsProcessor

from .configuration_speech_transformer import SpeechTransformerConfig


class SpeechTransformerCTCScorer(LogitsProcessor):
    """Adds CTC's score of each next token to the decoder's, in any way to generate (Watanabe et al., 2017).

    CTC's score of a token is how much less likely all texts that begin with the longer prefix are than all that begin
    with the shorter one. Of the decoder's `candidates` best tokens only.

    Args:
        log_probs (`torch.Tensor` of shape `(batch, positions, vocab_size)`): Of the CTC output layer.
        attention_mask (`torch.Tensor` of shape `(batch, positions)`, *optional*): 1 on real positions.
        weight (`float`): Share of CTC in the score, above 0 and below 1.
        config (`SpeechTransformerConfig`): Has the special tokens.
        candidates (`int`, defaults to 30): Tokens of each prefix that are scored; the others are excluded.
    """

    IMPOSSIBLE = -1e5  # finite, as differences of sums are taken

    def __init__(
        self,
        log_probs: torch.Tensor,
        attention_mask: torch.Tensor | None,
        weight: float,
        config: SpeechTransformerConfig,
        candidates: int = 30,
    ):
        log_probs = log_probs.double()
        self.blank, self.ends = config.pad_token_id, config.eos_token_id
        if attention_mask is not None:  # behind its end a row has blanks only
            silence = torch.full_like(log_probs[:1, :1], self.IMPOSSIBLE)
            silence[..., self.blank] = 0.0
            log_probs = torch.where(attention_mask[..., None].bool(), log_probs, silence)
        self.log_probs, self.weight, self.candidates = log_probs, weight, min(candidates, log_probs.shape[2])
        # (rows, candidates) tokens, (rows, candidates, positions, 2) states, (rows, candidates) scores of the last
        # step, and the row of each (utterance, prefix).
        self.tokens: torch.Tensor | None = None
        self.states = self.scores = torch.empty(0)
        self.rows: dict[Any, int] = {}

    def begin(self, utterances: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """State `(rows, positions, 2)` and score `(rows,)` of the empty text: at each position how likely it is that
        all was a token, or a blank."""
        blanks = self.log_probs[utterances, :, self.blank].cumsum(1)
        return torch.stack([torch.full_like(blanks, self.IMPOSSIBLE), blanks], dim=2), torch.zeros_like(blanks[:, 0])

    def extend(
        self, state: torch.Tensor, last: torch.Tensor, is_first: torch.Tensor, tokens: torch.Tensor, utterances: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """States `(rows, candidates, positions, 2)` and scores `(rows, candidates)` of texts with one more token.

        Args:
            state (`torch.Tensor` of shape `(rows, positions, 2)`): Of the texts.
            last (`torch.Tensor` of shape `(rows,)`): Their last token.
            is_first (`torch.Tensor` of shape `(rows,)`): Whether they are empty.
            tokens (`torch.Tensor` of shape `(rows, candidates)`): What may follow.
            utterances (`torch.Tensor` of shape `(rows,)`): Which sound they are of.
        """
        rows = self.log_probs[utterances]
        said = rows.gather(2, tokens[:, None, :].expand(-1, rows.shape[1], -1)).transpose(1, 2)
        blanks = rows[:, None, :, self.blank]
        # A token that repeats the last one needs a blank between.
        before = torch.where((tokens == last[:, None])[..., None], state[:, None, :, 1], state.logsumexp(2)[:, None])
        start = torch.where(is_first[:, None], said[..., 0], self.IMPOSSIBLE)[..., None]
        sums, blank_sums = said.cumsum(2), blanks.cumsum(2)
        # r[t] = logaddexp(r[t-1], before[t-1]) + said[t] is a cumulative sum once the sums of `said` are taken off.
        entries = torch.cat([start - sums[..., :1], before[..., :-1] - sums[..., :-1]], dim=2)
        ends_in_token = sums + entries.logcumsumexp(2)
        entries = torch.cat(
            [torch.full_like(start, self.IMPOSSIBLE), ends_in_token[..., :-1] - blank_sums[..., :-1]], 2
        )
        ends_in_blank = blank_sums + entries.logcumsumexp(2)
        scores = torch.cat([start, before[..., :-1] + said[..., 1:]], dim=2).logsumexp(2)
        return torch.stack([ends_in_token, ends_in_blank], dim=3), scores

    def recall(self, input_ids: torch.Tensor, utterances: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """State and score of each row's text: from the last step, or of a given beginning."""
        if self.tokens is not None:
            keys = zip(utterances.tolist(), map(tuple, input_ids[:, :-1].tolist()))
            parents = torch.tensor([self.rows.get(key, 0) for key in keys], device=input_ids.device)
            place = (self.tokens[parents] == input_ids[:, -1:]).long().argmax(1)
            return self.states[parents, place], self.scores[parents, place]
        state, score = self.begin(utterances)
        for step in range(1, input_ids.shape[1]):
            token, last = input_ids[:, step : step + 1], input_ids[:, step - 1]
            is_first = torch.full_like(last, step == 1, dtype=torch.bool)
            longer, scores = self.extend(state, last, is_first, token, utterances)
            is_padding = token == self.blank
            state = torch.where(is_padding[..., None], state, longer[:, 0])
            score = torch.where(is_padding[:, 0], score, scores[:, 0])
        return state, score

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Texts `(rows, length)` and the decoder's scores `(rows, vocab_size)` -> the scores with CTC's."""
        attention = scores.float().log_softmax(-1)
        utterances = torch.arange(len(input_ids), device=input_ids.device) // (len(input_ids) // len(self.log_probs))
        state, score = self.recall(input_ids, utterances)
        tokens = attention.topk(self.candidates, dim=1).indices
        is_first = torch.full_like(utterances, input_ids.shape[1] == 1, dtype=torch.bool)
        self.states, self.scores = self.extend(state, input_ids[:, -1], is_first, tokens, utterances)
        ends = torch.isin(tokens, torch.as_tensor(self.ends, device=tokens.device))
        self.scores = torch.where(ends, state[:, -1].logsumexp(1)[:, None], self.scores)
        self.tokens = tokens
        self.rows = {key: row for row, key in enumerate(zip(utterances.tolist(), map(tuple, input_ids.tolist())))}
        gain = (self.scores - score[:, None]).clamp(min=self.IMPOSSIBLE).to(attention.dtype)
        joint = (1 - self.weight) * attention.gather(1, tokens) + self.weight * gain
        return torch.full_like(attention, float("-inf")).scatter(1, tokens, joint)


__all__ = ["SpeechTransformerCTCScorer"]
