"""The Fashion CNN: config, model and what transformers does with them."""

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from PIL import Image
from torch import nn
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageClassification, pipeline

from zoo import FashionCNNConfig, FashionCNNForImageClassification, FashionCNNImageProcessor, FashionCNNModel

# The nets of the course and a modern one, with few filters: fields, feature map sizes, features, parameters.
NETS = {
    "three convolutions, two poolings": (
        {"stage_channels": [4, 8, 8], "pooling": [True, True, False], "global_pooling": "flatten", "dense_sizes": [6]},
        [28, 14, 7, 7],
        8 * 7 * 7,
        (4 * 9 + 8) + (4 * 8 * 9 + 16) + (8 * 8 * 9 + 16) + (392 * 6 + 6) + (6 * 10 + 10),
    ),
    "two convolutions, one pooling": (
        {"stage_channels": [8], "convs_per_stage": 2, "global_pooling": "flatten", "use_batch_norm": False},
        [28, 14],
        8 * 14 * 14,
        (8 * 9 + 8) + (8 * 8 * 9 + 8) + (1568 * 10 + 10),
    ),
    "32 filters": (
        {"stage_channels": [32], "global_pooling": "flatten"},
        [28, 14],
        32 * 14 * 14,
        (32 * 9 + 64) + (6272 * 10 + 10),
    ),
    "dense 32": (
        {"stage_channels": [4, 8], "global_pooling": "max", "dense_sizes": [32]},
        [28, 14, 7],
        8,
        (4 * 9 + 8) + (4 * 8 * 9 + 16) + (8 * 32 + 32) + (32 * 10 + 10),
    ),
    "no padding, no pooling at the end": (
        {"stage_channels": [4, 8], "kernel_size": [4, 3], "padding": "valid", "pooling": [True, False]},
        [28, 12, 10],
        8,
        (4 * 16 + 8) + (4 * 8 * 9 + 16) + (8 * 10 + 10),
    ),
    "no padding, pooling first": (
        {"stage_channels": [4], "convs_per_stage": 2, "padding": "valid", "pool_position": "first"},
        [28, 11],
        4,
        (4 * 9 + 8) + (4 * 4 * 9 + 8) + (4 * 10 + 10),
    ),
    "dropout": (
        {"stage_channels": [4], "conv_dropout": 0.25, "classifier_dropout": 0.5, "dense_sizes": [16, 8]},
        [28, 14],
        4,
        (4 * 9 + 8) + (4 * 16 + 16) + (16 * 8 + 8) + (8 * 10 + 10),
    ),
    "modern": (
        {
            "stem_channels": 4,
            "stage_channels": [4, 8, 8],
            "convs_per_stage": [2, 3, 3],
            "pool_position": "first",
            "residual": True,
            "global_pooling": "max",
            "hidden_act": "gelu",
        },
        [27, 13, 6, 3],
        8,
        (4 * 4 + 4) + 2 * (4 * 4 * 9 + 8) + (4 * 8 * 9 + 16) + 5 * (8 * 8 * 9 + 16) + (8 * 10 + 10),
    ),
}
TINY = {"image_size": 12, "stage_channels": [4, 8], "convs_per_stage": 2, "residual": True, "num_labels": 4}
IMPOSSIBLE = [
    ({"image_size": 0}, "image_size=0"),
    ({"num_channels": 0}, "num_channels=0"),
    ({"stem_channels": -1}, "stem_channels=-1"),
    ({"stem_channels": 4, "stem_kernel_size": 0}, "stem_kernel_size=0"),
    ({"stem_channels": 4, "stem_kernel_size": 29}, "stem_kernel_size=29 is larger than image_size=28"),
    ({"stage_channels": []}, "stage_channels is empty"),
    ({"stage_channels": [8, 0]}, r"stage_channels=\[8, 0\]"),
    ({"stage_channels": [8.5]}, "stage_channels"),
    ({"stage_channels": [8] * 5}, "pooling: stage 5 of 5 would shrink its 1x1 map"),
    ({"image_size": 4, "padding": "valid", "kernel_size": 5, "pooling": False}, "kernel_size: stage 1"),
    ({"convs_per_stage": 0}, "convs_per_stage=0"),
    ({"convs_per_stage": [1, 2, 3]}, "convs_per_stage has 3 values but stage_channels describes 2"),
    ({"kernel_size": [3]}, "kernel_size has 1 values"),
    ({"kernel_size": -3}, "kernel_size=-3"),
    ({"kernel_size": 4}, "kernel_size=4 must be odd"),
    ({"pooling": [True]}, "pooling has 1 values"),
    ({"pooling": 1}, "pooling"),
    ({"pool_position": "middle"}, "pool_position='middle' is not one of last, first"),
    ({"padding": "full"}, "padding='full'"),
    ({"global_pooling": "min"}, "global_pooling='min'"),
    ({"hidden_act": "rellu"}, "hidden_act='rellu'"),
    ({"residual": True}, "residual=True needs convs_per_stage"),
    ({"residual": True, "convs_per_stage": 2, "padding": "valid"}, "residual=True needs padding"),
    ({"dense_sizes": [32, 0]}, r"dense_sizes=\[32, 0\]"),
    ({"conv_dropout": -0.1}, "conv_dropout=-0.1"),
    ({"conv_dropout": 1.0}, "conv_dropout=1.0"),
    ({"classifier_dropout": float("nan")}, "classifier_dropout=nan"),
    ({"classifier_dropout": "0.5"}, "classifier_dropout"),
    ({"batch_norm_momentum": 0.0}, "batch_norm_momentum=0.0"),
    ({"batch_norm_momentum": 1.5}, "batch_norm_momentum=1.5"),
    ({"num_labels": 0}, "num_labels must be at least 1"),
    ({"num_labels": 3, "id2label": {0: "a", 1: "b"}}, "num_labels=3 but id2label names 2 classes"),
    ({"id2label": {1: "a", 2: "b"}}, r"id2label numbers its classes \[1, 2\], not 0 to 1"),
    ({"id2label": {0: "a", 1: "a"}}, "id2label gives two classes one name"),
    ({"id2label": {0: "a", 1: "b"}, "label2id": {"a": 0}}, "label2id is not the inverse"),
    ({"id2label": {0: "a", 1: "b"}, "label2id": {"a": 1, "b": 0}}, "label2id is not the inverse"),
]


def tiny_model(**fields) -> FashionCNNForImageClassification:
    torch.manual_seed(0)
    return FashionCNNForImageClassification(FashionCNNConfig(**TINY | fields)).eval()


def tiny_batch(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 1, 12, 12, generator=torch.Generator().manual_seed(1))


# Config


@pytest.mark.parametrize(("fields", "message"), IMPOSSIBLE, ids=[message for _, message in IMPOSSIBLE])
def test_impossible_config_names_the_field(fields, message):
    with pytest.raises((StrictDataclassError, ValueError), match=message):
        FashionCNNConfig(**fields)


@pytest.mark.parametrize("name", NETS)
def test_config_round_trip(name, tmp_path):
    config = FashionCNNConfig(**NETS[name][0])
    config.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).to_dict() == config.to_dict() | {"_name_or_path": str(tmp_path)}


@pytest.mark.parametrize("labels", [{}, {"num_labels": 1}, {"num_labels": 2}, {"num_labels": 10}, {"num_labels": 3}])
def test_label_count_survives_saving(labels, tmp_path):
    FashionCNNConfig(**labels).save_pretrained(tmp_path)
    assert FashionCNNConfig.from_pretrained(tmp_path).num_labels == labels.get("num_labels", 10)


def test_label_names_survive_saving(tmp_path):
    FashionCNNConfig(id2label={0: "shirt", 1: "bag"}).save_pretrained(tmp_path)
    config = FashionCNNConfig.from_pretrained(tmp_path)
    assert config.id2label == {0: "shirt", 1: "bag"}
    assert config.label2id == {"shirt": 0, "bag": 1}


def test_label_numbers_may_be_strings(tmp_path):
    """As transformers' example scripts write them, in a new config and for a new head."""
    names = {"id2label": {"0": "shirt", "1": "bag"}, "label2id": {"shirt": "0", "bag": "1"}}
    FashionCNNConfig().save_pretrained(tmp_path)
    for config in (FashionCNNConfig(**names), FashionCNNConfig.from_pretrained(tmp_path, num_labels=2, **names)):
        assert config.id2label == {0: "shirt", 1: "bag"} and config.label2id == {"shirt": 0, "bag": 1}
        config.validate()


def test_saved_config_takes_a_new_head(tmp_path):
    FashionCNNConfig(id2label={0: "shirt", 1: "bag"}).save_pretrained(tmp_path)
    config = FashionCNNConfig.from_pretrained(tmp_path, num_labels=3)
    assert config.num_labels == 3
    config = FashionCNNConfig.from_pretrained(tmp_path, num_labels=3, id2label={0: "a", 1: "b", 2: "c"})
    assert config.id2label == {0: "a", 1: "b", 2: "c"}
    assert config.label2id == {"a": 0, "b": 1, "c": 2}
    config.validate()
    assert FashionCNNConfig.from_pretrained(tmp_path, num_labels=2).id2label == {0: "shirt", 1: "bag"}


# Model


@pytest.mark.parametrize("name", NETS)
def test_shapes_and_parameters(name):
    fields, sizes, features, parameters = NETS[name]
    config = FashionCNNConfig(**fields)
    model = FashionCNNForImageClassification(config).eval()
    pixel_values = torch.randn(2, 1, 28, 28)
    outputs = model(pixel_values, output_hidden_states=True)
    assert config.spatial_sizes == sizes
    assert outputs.logits.shape == (2, 10)
    assert outputs.loss is None
    assert [tuple(h.shape[2:]) for h in outputs.hidden_states] == [(size, size) for size in sizes]
    assert [h.shape[1] for h in outputs.hidden_states[1:]] == fields["stage_channels"]
    base = model.fashion_cnn(pixel_values)
    assert base.pooler_output.shape == (2, features)
    assert base.hidden_states is None
    torch.testing.assert_close(base.last_hidden_state, outputs.hidden_states[-1])
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_colour_images():
    model = tiny_model(num_channels=3)
    assert model(torch.randn(2, 3, 12, 12)).logits.shape == (2, 4)


@pytest.mark.parametrize("pool_position", ["first", "last"])
def test_residual_stage_is_what_the_papers_write(pool_position):
    model = tiny_model(stage_channels=[4], convs_per_stage=3, pool_position=pool_position)
    first, second, third = model.fashion_cnn.stages[0].layers
    pool = nn.functional.max_pool2d
    x = first.convolution(tiny_batch())
    x = first.normalization(pool(x, 2) if pool_position == "first" else x).relu()
    y = second.normalization(second.convolution(x)).relu()
    y = (third.normalization(third.convolution(y)) + x).relu()
    expected = y if pool_position == "first" else pool(y, 2)
    torch.testing.assert_close(model.fashion_cnn(tiny_batch()).last_hidden_state, expected)


@pytest.mark.parametrize("global_pooling", ["avg", "max", "flatten"])
def test_global_pooling(global_pooling):
    output = tiny_model(global_pooling=global_pooling).fashion_cnn(tiny_batch())
    feature_map = output.last_hidden_state.detach().numpy()
    expected = {
        "avg": feature_map.mean((2, 3)),
        "max": feature_map.max((2, 3)),
        "flatten": feature_map.reshape(len(feature_map), -1),
    }[global_pooling]
    np.testing.assert_allclose(output.pooler_output.detach(), expected, rtol=1e-5, atol=1e-6)


def test_loss_of_class_numbers_and_of_probabilities():
    model, labels = tiny_model(), torch.tensor([0, 3, 1])
    outputs = model(tiny_batch(), labels=labels)
    log_probabilities = outputs.logits.log_softmax(1)
    torch.testing.assert_close(outputs.loss, -log_probabilities[range(3), labels].mean())
    soft = torch.tensor([[0.7, 0.3, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [0.25, 0.25, 0.25, 0.25]])
    torch.testing.assert_close(model(tiny_batch(), labels=soft).loss, -(soft * log_probabilities).sum(1).mean())


@pytest.mark.parametrize(
    ("problem_type", "labels", "expected"),
    [
        ("regression", torch.tensor([1.0, 2.0, 3.0]), lambda logits, labels: ((logits[:, 0] - labels) ** 2).mean()),
        (None, torch.tensor([[1], [2], [3]]), lambda logits, labels: ((logits - labels) ** 2).mean()),
        ("regression", torch.rand(3, 4), lambda logits, labels: ((logits - labels) ** 2).mean()),
        (
            "multi_label_classification",
            torch.eye(4)[:3],
            lambda logits, labels: -((2 * labels - 1) * logits).sigmoid().log().mean(),
        ),
    ],
)
def test_loss_of_other_problems(problem_type, labels, expected):
    model = tiny_model(problem_type=problem_type, num_labels=labels[0].numel())
    outputs = model(tiny_batch(), labels=labels)
    torch.testing.assert_close(outputs.loss, expected(outputs.logits, labels))


def test_plain_tuple():
    model = tiny_model()
    loss, logits, hidden_states = model(
        tiny_batch(), labels=torch.tensor([0, 1, 2]), output_hidden_states=True, return_dict=False
    )
    assert loss.ndim == 0 and logits.shape == (3, 4) and len(hidden_states) == 3


@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (2, 3, 12, 12), (1, 12, 12), (2, 12, 12, 1)])
def test_wrong_image_shape_is_an_error(shape):
    with pytest.raises(ValueError, match=r"this model takes \(batch, 1, 12, 12\)"):
        tiny_model()(torch.zeros(shape))


def test_dropout_only_in_training():
    model = tiny_model(conv_dropout=0.5, classifier_dropout=0.5)
    torch.testing.assert_close(model(tiny_batch()).logits, model(tiny_batch()).logits)
    for module in model.modules():  # dropout alone, without the batch statistics of batch normalisation
        module.train(isinstance(module, nn.Dropout | nn.Dropout2d))
    assert not torch.allclose(model(tiny_batch()).logits, model(tiny_batch()).logits)


@pytest.mark.parametrize("soft", [False, True])
def test_bfloat16(soft):
    model = tiny_model()
    labels = torch.eye(4)[:3] if soft else torch.arange(3)
    expected = model(tiny_batch(), labels=labels)
    outputs = model.to(torch.bfloat16)(tiny_batch().bfloat16(), labels=labels)
    assert outputs.logits.dtype == torch.bfloat16
    torch.testing.assert_close(outputs.logits.float(), expected.logits, atol=0.1, rtol=0.1)
    torch.testing.assert_close(outputs.loss.float(), expected.loss, atol=0.1, rtol=0.1)


def test_torch_compile_has_no_graph_break():
    model = tiny_model()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(tiny_batch()).logits, model(tiny_batch()).logits)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, from inside its compiler
def test_torch_compile_with_the_default_backend():
    model = tiny_model()
    torch.testing.assert_close(torch.compile(model)(tiny_batch()).logits, model(tiny_batch()).logits)


# Save, load, Auto classes


def test_save_and_load(tmp_path):
    model = tiny_model()
    model.fashion_cnn.stages[0].layers[0].normalization.running_mean.fill_(0.5)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForImageClassification.from_pretrained(tmp_path)
    assert type(loaded) is FashionCNNForImageClassification
    for (name, saved), (_, read) in zip(model.state_dict().items(), loaded.state_dict().items(), strict=True):
        assert torch.equal(saved, read), name
    base = AutoModel.from_pretrained(tmp_path)
    assert type(base) is FashionCNNModel
    assert torch.equal(base(tiny_batch()).pooler_output, model.fashion_cnn(tiny_batch()).pooler_output)


def test_new_head_keeps_the_features(tmp_path):
    model = tiny_model()
    model.save_pretrained(tmp_path)
    loaded = AutoModelForImageClassification.from_pretrained(tmp_path, num_labels=2, ignore_mismatched_sizes=True)
    assert loaded(tiny_batch()).logits.shape == (3, 2)
    features = loaded.fashion_cnn(tiny_batch()).pooler_output
    assert torch.equal(features, model.fashion_cnn(tiny_batch()).pooler_output)


def test_pipeline(tmp_path):
    labels = {0: "shirt", 1: "bag", 2: "boot", 3: "coat"}
    model = tiny_model(id2label=labels, num_labels=4)
    model.save_pretrained(tmp_path)
    FashionCNNImageProcessor(size={"height": 12, "width": 12}).save_pretrained(tmp_path)
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    assert type(processor) is FashionCNNImageProcessor

    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 12), dtype=np.uint8))
    picture.save(tmp_path / "picture.png")
    classifier = pipeline("image-classification", model=str(tmp_path), device="cpu")
    answers = classifier(str(tmp_path / "picture.png"), top_k=4)
    logits = model(**processor(picture, return_tensors="pt")).logits[0]
    expected = {labels[number]: float(p) for number, p in enumerate(logits.detach().softmax(0))}
    assert {answer["label"]: answer["score"] for answer in answers} == pytest.approx(expected, abs=1e-6)
