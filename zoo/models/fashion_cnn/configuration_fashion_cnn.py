"""Configuration of the Fashion CNN: every net of the course, and a modern small residual net, by fields alone."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.activations import ACT2FN


@strict
class FashionCNNConfig(PreTrainedConfig):
    r"""
    A stack of convolution stages, a pooling of the feature map, dense layers and a linear classifier.

    Fields that describe a stage take one value for all stages, or a list with one value a stage.

    Args:
        image_size (`int`, defaults to 28): Height and width of the input in pixels.
        num_channels (`int`, defaults to 1): Channels of the input, 1 for grayscale.
        stem_channels (`int`, defaults to 0): Filters of an unpadded first convolution; 0 for none.
        stem_kernel_size (`int`, defaults to 2): Kernel of that first convolution, in pixels.
        stage_channels (`list[int]`, defaults to `[32, 64]`): Filters of each stage; one entry a stage.
        convs_per_stage (`int` or `list[int]`, defaults to 1): Convolutions in a stage.
        kernel_size (`int` or `list[int]`, defaults to 3): Kernel of a stage's convolutions, in pixels.
        pooling (`bool` or `list[bool]`, defaults to `True`): Whether a stage ends with a 2x2 max pooling.
        pool_position (`"last"` or `"first"`, defaults to `"last"`): Pool after a stage's last convolution, as in
            textbooks, or right after its first one, which makes the others four times cheaper (arXiv:2404.00498).
        padding (`"same"` or `"valid"`, defaults to `"same"`): Zero padding that keeps the size, or none. "same" needs
            odd kernels.
        use_batch_norm (`bool`, defaults to `True`): Batch normalisation after every convolution of the stages.
        batch_norm_momentum (`float`, defaults to 0.1): Weight of a new batch in the running statistics.
        hidden_act (`str`, defaults to `"relu"`): A name of `transformers.activations.ACT2FN`.
        residual (`bool`, defaults to `False`): Add the output of a stage's first convolution to that of its last one.
        global_pooling (`"avg"`, `"max"` or `"flatten"`, defaults to `"avg"`): How the feature map becomes a vector.
        dense_sizes (`list[int]`, defaults to `[]`): Sizes of the dense layers before the classifier.
        conv_dropout (`float`, defaults to 0.0): Dropout of whole feature maps after each stage.
        classifier_dropout (`float`, defaults to 0.0): Dropout before each dense layer and before the classifier.

    Raises:
        StrictDataclassError: A field has the wrong type, or the fields describe a net that cannot exist; the message
            names the field and the reason.

    Example:

    ```python
    >>> from zoo import FashionCNNConfig
    >>> FashionCNNConfig(stage_channels=[64, 64, 64], pooling=[True, True, False]).spatial_sizes
    [28, 14, 7, 7]
    ```
    """

    model_type = "fashion_cnn"

    image_size: int = 28
    num_channels: int = 1
    stem_channels: int = 0
    stem_kernel_size: int = 2
    stage_channels: list[int] | tuple[int, ...] = (32, 64)
    convs_per_stage: int | list[int] = 1
    kernel_size: int | list[int] = 3
    pooling: bool | list[bool] = True
    pool_position: str = "last"
    padding: str = "same"
    use_batch_norm: bool = True
    batch_norm_momentum: float = 0.1
    hidden_act: str = "relu"
    residual: bool = False
    global_pooling: str = "avg"
    dense_sizes: list[int] | tuple[int, ...] = ()
    conv_dropout: float | int = 0.0
    classifier_dropout: float | int = 0.0

    def __post_init__(self, **kwargs):
        self.stage_channels = list(self.stage_channels)
        self.dense_sizes = list(self.dense_sizes)
        num_labels = kwargs.get("num_labels")
        if self.id2label is None:
            kwargs["num_labels"] = 10 if num_labels is None else num_labels
        elif num_labels not in (None, len(self.id2label)):
            raise ValueError(
                f"num_labels={num_labels} but id2label names {len(self.id2label)} classes: give one of them"
            )
        super().__post_init__(**kwargs)
        if getattr(self, "label2id", None) is None:
            self.label2id = {label: number for number, label in self.id2label.items()}
        self.label2id = {label: int(number) for label, number in self.label2id.items()}

    @classmethod
    def from_dict(cls, config_dict, **kwargs):
        # `from_pretrained(..., num_labels=3)` and `id2label=...` ask for a new head: the saved names make room.
        if kwargs.get("num_labels") not in (None, len(config_dict.get("id2label") or ())):
            config_dict = {key: value for key, value in config_dict.items() if key not in ("id2label", "label2id")}
        if kwargs.get("id2label"):
            # transformers' example scripts write the numbers as strings.
            kwargs["id2label"] = {int(number): label for number, label in kwargs["id2label"].items()}
            label2id = kwargs.get("label2id") or {label: number for number, label in kwargs["id2label"].items()}
            kwargs["label2id"] = {label: int(number) for label, number in label2id.items()}
        return super().from_dict(config_dict, **kwargs)

    def to_diff_dict(self):
        # transformers leaves out two unnamed labels, its own default, which would be read back as this class's ten.
        return super().to_diff_dict() | {"id2label": self.id2label, "label2id": self.label2id}

    def per_stage(self, field: str) -> list:
        """The values of `field`, one a stage, whether the field holds one value or a list."""
        value = getattr(self, field)
        return list(value) if isinstance(value, list | tuple) else [value] * len(self.stage_channels)

    @property
    def spatial_sizes(self) -> list[int]:
        """Height (= width) of the feature map before the first stage and after each stage, in pixels."""
        size = self.image_size - (self.stem_kernel_size - 1 if self.stem_channels else 0)
        sizes = [size]
        stages = zip(self.per_stage("convs_per_stage"), self.per_stage("kernel_size"), self.per_stage("pooling"))
        for convs, kernel, pool in stages:
            shrink = 0 if self.padding == "same" else kernel - 1
            if pool and self.pool_position == "first":
                size = (size - shrink) // 2 - shrink * (convs - 1)
            else:
                size = (size - shrink * convs) // (2 if pool else 1)
            sizes.append(size)
        return sizes

    def validate_choices(self):
        """Fields with a fixed set of values."""
        for field, allowed in {
            "pool_position": ("last", "first"),
            "padding": ("same", "valid"),
            "global_pooling": ("avg", "max", "flatten"),
            "hidden_act": tuple(ACT2FN),
        }.items():
            value = getattr(self, field)
            if value not in allowed:
                raise ValueError(f"{field}={value!r} is not one of {', '.join(allowed)}")

    def validate_labels(self):
        """Classes are numbered from 0 without a gap and have different names."""
        if not self.id2label:
            raise ValueError("num_labels must be at least 1")
        if sorted(map(int, self.id2label)) != list(range(len(self.id2label))):
            raise ValueError(
                f"id2label numbers its classes {sorted(self.id2label)}, not 0 to {len(self.id2label) - 1}"
            )
        if self.label2id != {label: int(number) for number, label in self.id2label.items()}:
            raise ValueError("label2id is not the inverse of id2label")
        if len(self.label2id) != len(self.id2label):
            raise ValueError("id2label gives two classes one name")

    def validate_numbers(self):
        """Counts are positive, dropouts are probabilities."""
        for field in ("image_size", "num_channels", "stem_kernel_size"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}={getattr(self, field)} must be at least 1")
        if self.stem_channels < 0:
            raise ValueError(f"stem_channels={self.stem_channels} must be 0 (no first convolution) or positive")
        for field in ("conv_dropout", "classifier_dropout"):
            if not 0 <= getattr(self, field) < 1:
                raise ValueError(f"{field}={getattr(self, field)} must be at least 0 and below 1")
        if not 0 < self.batch_norm_momentum <= 1:
            raise ValueError(f"batch_norm_momentum={self.batch_norm_momentum} must be above 0 and at most 1")
        if not self.stage_channels:
            raise ValueError("stage_channels is empty: give the filters of at least one stage, e.g. [32, 64]")
        for field in ("stage_channels", "convs_per_stage", "kernel_size", "dense_sizes"):
            values = self.per_stage(field)
            if any(isinstance(value, bool) or value < 1 for value in values):
                raise ValueError(f"{field}={getattr(self, field)} must hold whole numbers of at least 1")

    def validate_stages(self):
        """Lists fit the stages, and the feature map never vanishes."""
        stages = len(self.stage_channels)
        for field in ("convs_per_stage", "kernel_size", "pooling"):
            if len(self.per_stage(field)) != stages:
                raise ValueError(
                    f"{field} has {len(self.per_stage(field))} values but stage_channels describes {stages} stages"
                )
        if self.padding == "same" and any(kernel % 2 == 0 for kernel in self.per_stage("kernel_size")):
            raise ValueError(f'kernel_size={self.kernel_size} must be odd with padding="same"')
        if self.residual and self.padding != "same":
            raise ValueError('residual=True needs padding="same": without it the two maps differ in size')
        if self.residual and min(self.per_stage("convs_per_stage")) < 2:
            raise ValueError("residual=True needs convs_per_stage of at least 2: one convolution has no block to skip")
        sizes = self.spatial_sizes
        if sizes[0] < 1:
            raise ValueError(f"stem_kernel_size={self.stem_kernel_size} is larger than image_size={self.image_size}")
        for stage, size in enumerate(sizes[1:], start=1):
            if size < 1:
                field = "pooling" if self.per_stage("pooling")[stage - 1] else "kernel_size"
                raise ValueError(
                    f"{field}: stage {stage} of {stages} would shrink its {sizes[stage - 1]}x{sizes[stage - 1]} map "
                    f"below 1 pixel; use fewer stages, pool less or start from more than image_size={self.image_size}"
                )


__all__ = ["FashionCNNConfig"]
