"""Recurrent layers: a whole sequence in one fused call, or one token after the other."""

from typing import Any

import torch
from torch import nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_rnn_seq2seq import RNNSeq2SeqConfig
from .layers_padding import Padding

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
GATES: dict[type[nn.Module], int] = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}


def run(cell: nn.RNNBase, inputs: torch.Tensor, state: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """
    A whole sequence (batch, length, input_size) -> (batch, length, size) and the state after it. A state is one tensor
    (1, or 2 with an LSTM, batch, size): re-entrant checkpointing sees gradients of tensors only.
    """
    device = inputs.device.type
    if torch.is_autocast_enabled(device):
        # Autocast leaves inputs alone here, and CPUs without bfloat16 refuse float32 inputs with bfloat16 weights.
        dtype = torch.get_autocast_dtype(device)
        inputs, state = inputs.to(dtype), None if state is None else state.to(dtype)
    if isinstance(cell, nn.LSTM):
        hidden_states, after = cell(inputs, None if state is None else (state[:1], state[1:]))
        return hidden_states, torch.cat(after)
    return cell(inputs, state)


def step(cell: Any, projected: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """
    One token of an `nn.RNNBase`: its projected input, `weight_ih_l0 @ input + bias_ih_l0` (batch, gates * size), and
    the state before (states, batch, size) -> the state after; its first is the hidden state.
    """
    hidden = state[0]
    recurrent = nn.functional.linear(hidden, cell.weight_hh_l0, cell.bias_hh_l0)
    if isinstance(cell, nn.LSTM):
        into, forget, candidate, out = (projected + recurrent).chunk(4, dim=-1)
        memory = forget.sigmoid() * state[1] + into.sigmoid() * candidate.tanh()
        return torch.stack([out.sigmoid() * memory.tanh(), memory])
    if isinstance(cell, nn.GRU):
        reset, update, candidate = projected.chunk(3, dim=-1)
        recurrent_reset, recurrent_update, recurrent_candidate = recurrent.chunk(3, dim=-1)
        candidate = (candidate + (reset + recurrent_reset).sigmoid() * recurrent_candidate).tanh()
        return torch.lerp(candidate, hidden, (update + recurrent_update).sigmoid()).unsqueeze(0)
    return (projected + recurrent).tanh().unsqueeze(0)


class RNNSeq2SeqEncoderLayer(GradientCheckpointingLayer):
    """One recurrent layer that reads from the front, and from the end too if bidirectional."""

    def __init__(self, config: RNNSeq2SeqConfig, index: int):
        super().__init__()
        self.dropout = nn.Dropout(config.dropout if index else 0.0)
        width = config.hidden_size if index else config.embedding_size
        size = config.hidden_size // (2 if config.bidirectional else 1)
        self.forward_cell = CELLS[config.cell_type](width, size, batch_first=True)
        self.backward_cell = CELLS[config.cell_type](width, size, batch_first=True) if config.bidirectional else None

    def forward(self, hidden_states: torch.Tensor, padding: Padding) -> tuple[torch.Tensor, torch.Tensor]:
        """
        (batch, length, width), real tokens in front -> (batch, length, hidden_size), and (batch, hidden_size) after
        the last real token of each direction.
        """
        inputs = self.dropout(hidden_states)
        hidden_states, _ = run(self.forward_cell, inputs, None)
        final_state = padding.at_last(hidden_states)
        if self.backward_cell is not None:
            backward, _ = run(self.backward_cell, padding.reversed(inputs), None)
            final_state = torch.cat([final_state, padding.at_last(backward)], dim=-1)
            hidden_states = torch.cat([hidden_states, padding.reversed(backward)], dim=-1)
        return hidden_states, final_state


class RNNSeq2SeqDecoderLayer(GradientCheckpointingLayer):
    """One recurrent layer that goes on from a state, and how that state begins."""

    def __init__(self, config: RNNSeq2SeqConfig, index: int):
        super().__init__()
        self.dropout = nn.Dropout(config.dropout if index else 0.0)
        width = config.hidden_size * (2 if config.reads_context(index) else 1)
        if index == 0:
            width = config.embedding_size * (2 if config.input_feeding else 1)
        self.num_states = config.num_states
        self.bridge = nn.Linear(config.hidden_size, config.num_states * config.hidden_size)
        self.cell: Any = CELLS[config.cell_type](width, config.hidden_size, batch_first=True)

    def first_state(self, final_state: torch.Tensor) -> torch.Tensor:
        """The encoder's (batch, hidden_size) -> (states, batch, hidden_size)."""
        state = self.bridge(final_state).tanh()
        return state.view(len(state), self.num_states, -1).transpose(0, 1).contiguous()

    def forward(self, hidden_states: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, length, width) -> (batch, length, hidden_size), and the state after the last position."""
        return run(self.cell, self.dropout(hidden_states), state)

    def project(self, inputs: torch.Tensor, columns: slice = slice(None)) -> torch.Tensor:
        """
        What `step` takes: (..., width) -> (..., gates * hidden_size). With `columns` the inputs are those of the whole
        input alone; the bias comes with the first of them.
        """
        bias = None if columns.start else self.cell.bias_ih_l0
        return nn.functional.linear(inputs, self.cell.weight_ih_l0[:, columns], bias)


def init_recurrent_weights(cell: nn.RNNBase) -> None:
    """
    Gate by gate: Glorot for the input, orthogonal for the recurrence (Saxe et al. 2013, arXiv:1312.6120), bias 0 but 1
    for an LSTM's forget gate (Jozefowicz et al. 2015), which remembers until it learns what to forget.
    """
    gates = GATES[type(cell)]
    for name, parameter in cell.named_parameters():
        value = torch.zeros_like(parameter, dtype=torch.float32)
        for gate in value.chunk(gates) if name.startswith("weight") else ():
            if name.startswith("weight_ih"):
                init.xavier_uniform_(gate)
            else:
                init.orthogonal_(gate)
        if isinstance(cell, nn.LSTM) and name.startswith("bias_ih"):
            value.chunk(gates)[1].fill_(1.0)
        init.copy_(parameter, value)


__all__ = ["RNNSeq2SeqDecoderLayer", "RNNSeq2SeqEncoderLayer", "init_recurrent_weights", "run", "step"]
