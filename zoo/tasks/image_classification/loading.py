"""Which reader the `data` section of a recipe asks for."""

from transformers import PreTrainedConfig

from zoo.data.fashion_mnist import NAME as FASHION_MNIST
from zoo.data.fashion_mnist import load_fashion_mnist
from zoo.data.images import ImageSplits, read_hub_images, read_image_folders
from zoo.data.sources import refuse_folder

from .arguments import ImageClassificationArguments

LARGEST_VALIDATION = 5000


def read(arguments: ImageClassificationArguments, config: PreTrainedConfig) -> ImageSplits:
    """The images that the arguments name, in the size and colours of the config.

    Raises:
        FileNotFoundError: No source has the data.
        ValueError: The arguments contradict each other, or the data is damaged or does not fit the model.
    """
    shape = {"image_size": config.image_size, "grayscale": config.num_channels == 1}
    if arguments.train_dir is not None:
        refuse_folder(arguments.data_dir, f"train_dir={arguments.train_dir}")
        return read_image_folders(arguments.train_dir, arguments.validation_dir, arguments.test_dir, **shape)
    if arguments.test_dir is not None and arguments.dataset_name is None:  # to evaluate a trained model
        return read_image_folders(None, arguments.validation_dir, arguments.test_dir, **shape)
    if arguments.validation_dir is not None or arguments.test_dir is not None:
        raise ValueError("--validation_dir and --test_dir need --train_dir, which names the classes")
    if arguments.dataset_name == FASHION_MNIST:
        if shape != {"image_size": 28, "grayscale": True}:
            raise ValueError(
                f"Fashion-MNIST is 28x28 grayscale, but the model takes {config.num_channels} channels of "
                f"{config.image_size}x{config.image_size}: set image_size=28 and num_channels=1"
            )
        return load_fashion_mnist(arguments.data_dir)
    refuse_folder(arguments.data_dir, f"dataset_name={arguments.dataset_name}")
    return read_hub_images(
        arguments.dataset_name or "",
        arguments.dataset_config_name,
        arguments.image_column_name,
        arguments.label_column_name,
        **shape,
    )


def validation_size(size: float | None, images: int, classes: int) -> int:
    """Number of training images to hold out.

    Args:
        size: A number, or a share below 1. Default: a tenth, at most 5,000, at least one of each class.
        images: Number of training images.
        classes: Number of classes.
    """
    if size is None:
        return max(min(LARGEST_VALIDATION, images // 10), classes)
    return round(size * images) if size < 1 else int(size)


__all__ = ["read", "validation_size"]
