"""The Fashion CNN: convolution stages, pooling, dense layers, classifier."""

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutputWithPoolingAndNoAttention,
    ImageClassifierOutputWithNoAttention,
)

from .configuration_fashion_cnn import FashionCNNConfig


class FashionCNNConvLayer(nn.Module):
    """Convolution, optional 2x2 max pooling, optional batch norm, optional skip connection, activation."""

    def __init__(self, config: FashionCNNConfig, in_channels: int, out_channels: int, kernel_size: int, pool: bool):
        super().__init__()
        self.convolution = nn.Conv2d(
            in_channels, out_channels, kernel_size, padding=config.padding, bias=not config.use_batch_norm
        )
        self.pooling = nn.MaxPool2d(2) if pool else nn.Identity()
        if config.use_batch_norm:
            self.normalization: nn.Module = nn.BatchNorm2d(out_channels, momentum=config.batch_norm_momentum)
        else:
            self.normalization = nn.Identity()
        self.activation = ACT2FN[config.hidden_act]

    def forward(self, hidden_states: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        hidden_states = self.normalization(self.pooling(self.convolution(hidden_states)))
        if residual is not None:
            hidden_states = hidden_states + residual
        return self.activation(hidden_states)


class FashionCNNStage(GradientCheckpointingLayer):
    """`convs_per_stage` convolutions of one width, with a pooling at their beginning or end, or none."""

    def __init__(self, config: FashionCNNConfig, index: int):
        super().__init__()
        channels = config.stage_channels
        before = channels[index - 1] if index else (config.stem_channels or config.num_channels)
        count = config.per_stage("convs_per_stage")[index]
        kernel_size = config.per_stage("kernel_size")[index]
        pool = config.per_stage("pooling")[index]
        self.layers = nn.ModuleList(
            FashionCNNConvLayer(
                config,
                before if layer == 0 else channels[index],
                channels[index],
                kernel_size,
                pool=pool and config.pool_position == "first" and layer == 0,
            )
            for layer in range(count)
        )
        self.residual = config.residual
        self.pooling = nn.MaxPool2d(2) if pool and config.pool_position == "last" else nn.Identity()
        self.dropout = nn.Dropout2d(config.conv_dropout)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        # Channels-last is 1.4x faster on CPUs and what tensor cores want; a no-op once the data is laid out so.
        hidden_states = hidden_states.contiguous(memory_format=torch.channels_last)
        hidden_states = self.layers[0](hidden_states)
        skip = hidden_states if self.residual else None
        for number, layer in enumerate(self.layers[1:], start=2):
            hidden_states = layer(hidden_states, skip if number == len(self.layers) else None)
        return self.dropout(self.pooling(hidden_states))


class FashionCNNPreTrainedModel(PreTrainedModel):
    """Weight initialisation and loading for the family."""

    config: FashionCNNConfig
    base_model_prefix = "fashion_cnn"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False
    _no_split_modules = ["FashionCNNStage"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            # He et al. 2015 (arXiv:1502.01852): keeps the variance of gradients through rectified layers.
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            init.kaiming_normal_(module.weight, nonlinearity="linear")
            init.zeros_(module.bias)


class FashionCNNModel(FashionCNNPreTrainedModel):
    """The model without its head: images to a feature map and a feature vector."""

    def __init__(self, config: FashionCNNConfig):
        super().__init__(config)
        if config.stem_channels:
            self.stem: nn.Module = nn.Sequential(
                nn.Conv2d(config.num_channels, config.stem_channels, config.stem_kernel_size),
                ACT2FN[config.hidden_act],
            )
        else:
            self.stem = nn.Identity()
        self.stages = nn.ModuleList(FashionCNNStage(config, index) for index in range(len(config.stage_channels)))
        self.post_init()

    def pool(self, feature_map: torch.Tensor) -> torch.Tensor:
        """(batch, channels, height, width) -> (batch, features), by `config.global_pooling`."""
        if self.config.global_pooling == "avg":
            return feature_map.mean(dim=(2, 3))
        if self.config.global_pooling == "max":
            return feature_map.amax(dim=(2, 3))
        return feature_map.flatten(1)

    def forward(
        self,
        pixel_values: torch.Tensor,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPoolingAndNoAttention | tuple:
        r"""
        Args:
            pixel_values (`torch.Tensor` of shape `(batch, num_channels, image_size, image_size)`): Normalised by the
                image processor.
            output_hidden_states (`bool`, *optional*): Also return the input of the first stage and the output of every
                stage.
            return_dict (`bool`, *optional*): A `ModelOutput` (default) or a plain tuple.

        Returns:
            `last_hidden_state` (batch, channels, height, width) and `pooler_output` (batch, features).

        Raises:
            ValueError: The images have another shape than the config describes.
        """
        expected = (self.config.num_channels, self.config.image_size, self.config.image_size)
        if tuple(pixel_values.shape[1:]) != expected:
            raise ValueError(
                f"pixel_values has shape {tuple(pixel_values.shape)}, but this model takes (batch, {expected[0]}, "
                f"{expected[1]}, {expected[2]}): pass the images through its image processor"
            )
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        return_dict = self.config.return_dict if return_dict is None else return_dict

        hidden_state = self.stem(pixel_values)
        if self.training and self.stages[0].gradient_checkpointing and not hidden_state.requires_grad:
            # Re-entrant checkpointing gives no gradient to weights whose inputs need none.
            hidden_state = hidden_state.detach().requires_grad_(torch.is_grad_enabled())
        hidden_states = [hidden_state]
        for stage in self.stages:
            hidden_state = stage(hidden_state)
            hidden_states.append(hidden_state)
        output = BaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=hidden_state,
            pooler_output=self.pool(hidden_state),
            hidden_states=tuple(hidden_states) if output_hidden_states else None,
        )
        return output if return_dict else output.to_tuple()


class FashionCNNForImageClassification(FashionCNNPreTrainedModel):
    """The net with dense layers and a linear classifier on top."""

    def __init__(self, config: FashionCNNConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.fashion_cnn = FashionCNNModel(config)
        features = config.stage_channels[-1]
        if config.global_pooling == "flatten":
            features *= config.spatial_sizes[-1] ** 2
        sizes = [features, *config.dense_sizes]
        self.dense = nn.ModuleList(nn.Linear(size, after) for size, after in zip(sizes, sizes[1:]))
        self.activation = ACT2FN[config.hidden_act]
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(sizes[-1], config.num_labels)
        self.post_init()

    def compute_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """
        The mean loss that `config.problem_type` names.

        Args:
            logits (`torch.Tensor` of shape `(batch, num_labels)`)
            labels (`torch.Tensor` of shape `(batch,)` or `(batch, num_labels)`)
        """
        # transformers' own ForSequenceClassificationLoss would take the probabilities of mixup for several labels.
        default = "regression" if self.num_labels == 1 else "single_label_classification"
        problem_type = self.config.problem_type or default
        if problem_type == "single_label_classification":
            return nn.functional.cross_entropy(logits, labels)
        labels = labels.to(logits.dtype).view_as(logits)
        if problem_type == "regression":
            return nn.functional.mse_loss(logits, labels)
        return nn.functional.binary_cross_entropy_with_logits(logits, labels)

    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs,
    ) -> ImageClassifierOutputWithNoAttention | tuple:
        r"""
        Args:
            pixel_values (`torch.Tensor` of shape `(batch, num_channels, image_size, image_size)`): Normalised by the
                image processor.
            labels (`torch.Tensor` of shape `(batch,)` or `(batch, num_labels)`): By `config.problem_type`: class
                indices or, as mixup and cutmix make them, class probabilities for `"single_label_classification"`,
                the default; numbers for `"regression"`, the default of a single label; zeros and ones for
                `"multi_label_classification"`.
            output_hidden_states (`bool`, *optional*): Also return the input of the first stage and the output of every
                stage.
            return_dict (`bool`, *optional*): A `ModelOutput` (default) or a plain tuple.

        Returns:
            `loss` (with labels only: the mean cross-entropy in nats, squared error or binary cross-entropy) and
            `logits` (batch, num_labels).
        """
        return_dict = self.config.return_dict if return_dict is None else return_dict
        outputs = self.fashion_cnn(pixel_values, output_hidden_states=output_hidden_states, return_dict=True)
        features = outputs.pooler_output
        for layer in self.dense:
            features = self.activation(layer(self.dropout(features)))
        logits = self.classifier(self.dropout(features))
        loss = None if labels is None else self.compute_loss(logits, labels)
        output = ImageClassifierOutputWithNoAttention(loss=loss, logits=logits, hidden_states=outputs.hidden_states)
        return output if return_dict else output.to_tuple()


__all__ = ["FashionCNNForImageClassification", "FashionCNNModel", "FashionCNNPreTrainedModel"]
