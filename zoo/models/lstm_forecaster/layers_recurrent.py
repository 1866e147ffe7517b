"""The recurrent layers, what they are asked with for the horizon, and how their weights begin."""

import torch
from torch import nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_lstm_forecaster import CELL_STATES, LSTMForecasterConfig

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
GATES: dict[type[nn.Module], int] = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}


class LSTMForecasterLayer(GradientCheckpointingLayer):
    """One recurrent layer with dropout on what the layer below hands over."""

    def __init__(self, config: LSTMForecasterConfig, index: int, input_size: int):
        super().__init__()
        self.dropout = nn.Dropout(config.dropout if index else 0.0)
        self.cell = CELLS[config.cell_type](input_size, config.hidden_size, batch_first=True)
        self.initial_state: nn.Parameter | None = None
        if config.learned_initial_state:
            self.initial_state = nn.Parameter(torch.zeros(CELL_STATES[config.cell_type], config.hidden_size))

    def forward(
        self, hidden_states: torch.Tensor, state: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        (rows, patches, input_size) -> (rows, patches, hidden_size) and the state after the last patch. A state is one
        tensor (1, or 2 with an LSTM, rows, hidden_size): re-entrant checkpointing sees gradients of tensors only.
        Without a state the layer starts from `initial_state`, or from zeros.
        """
        hidden_states = self.dropout(hidden_states)
        if state is None and self.initial_state is not None:
            state = self.initial_state.unsqueeze(1).expand(-1, len(hidden_states), -1).contiguous()
        device = hidden_states.device.type
        if torch.is_autocast_enabled(device):
            # Autocast leaves inputs alone here, and CPUs without bfloat16 refuse float32 inputs with bfloat16 weights.
            dtype = torch.get_autocast_dtype(device)
            hidden_states, state = hidden_states.to(dtype), None if state is None else state.to(dtype)
        if isinstance(self.cell, nn.LSTM):
            hidden_states, after = self.cell(hidden_states, None if state is None else (state[:1], state[1:]))
            return hidden_states, torch.cat(after)
        return self.cell(hidden_states, state)


class LSTMForecasterSegmentQueries(nn.Module):
    """What the recurrent net is asked with for each patch of the horizon: its position and its channel (SegRNN)."""

    def __init__(self, config: LSTMForecasterConfig):
        super().__init__()
        has_channels = config.channel_independent and config.input_size > 1
        channel_size = config.hidden_size // 2 if has_channels else 0
        self.position = nn.Parameter(torch.zeros(config.num_segments, config.hidden_size - channel_size))
        self.channel = nn.Parameter(torch.zeros(config.input_size, channel_size)) if has_channels else None

    def forward(self, rows: int) -> torch.Tensor:
        """-> (rows * num_segments, 1, hidden_size), segments of a row side by side."""
        queries = self.position.unsqueeze(0)
        if self.channel is not None:
            channels, segments = len(self.channel), len(self.position)
            channel = self.channel.unsqueeze(1).expand(-1, segments, -1)
            queries = torch.cat([queries.expand(channels, -1, -1), channel], dim=-1)
        return queries.repeat(rows // len(queries), 1, 1).flatten(0, 1).unsqueeze(1)


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


__all__ = ["LSTMForecasterLayer", "LSTMForecasterSegmentQueries", "init_recurrent_weights"]
