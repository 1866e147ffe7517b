"""What every family must do. A new family gets these tests by its line in the registry."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModel, Trainer, TrainingArguments, set_seed

from tests.inputs import INPUTS, LENGTHS
from zoo.registry import FAMILIES, TASKS, load_family, load_task
from zoo.training.arguments import ZooTrainingArguments
from zoo.training.trainer import ZooTrainer

LABELS = {name for task in TASKS for name in load_task(task).label_names}
# One task for each model: a family may do several tasks with the same class.
MODELS = {
    model_class: (family, task)
    for family in FAMILIES
    for task, model_class in load_family(family).model_classes.items()
    if task in TASKS
}
CASES = list(MODELS.values())
every_family = pytest.mark.parametrize("family_name", list(FAMILIES))
every_case = pytest.mark.parametrize(("family_name", "task_name"), CASES)


def tiny_config(family_name: str, **fields):
    family = load_family(family_name)
    return family.config_class(**{**family.tiny, **fields})


def tiny_model(family_name: str, task_name: str, seed: int = 0, **fields):
    set_seed(seed)
    return load_family(family_name).model_classes[task_name](tiny_config(family_name, **fields))


def rows_of(inputs: dict) -> list[dict]:
    return [dict(zip(inputs, values)) for values in zip(*inputs.values())]


def trainer_for(model, rows, folder, trainer_class=Trainer, **arguments) -> Trainer:
    defaults = {
        "per_device_train_batch_size": 4,
        "max_steps": 2,
        "learning_rate": 1e-2,
        "use_cpu": True,
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
        "logging_steps": 1,
        "seed": 0,
    }
    arguments_class = ZooTrainingArguments if trainer_class is ZooTrainer else TrainingArguments
    training = arguments_class(output_dir=str(folder), **{**defaults, **arguments})
    return trainer_class(model=model, args=training, train_dataset=rows)


def predictions(model, inputs: dict) -> torch.Tensor:
    """The model's main output without labels: the first floating-point tensor of at least two axes."""
    model.eval()
    with torch.no_grad():
        output = model(**{name: value for name, value in inputs.items() if name not in LABELS})
    return next(value for value in output.to_tuple() if torch.is_tensor(value) and value.ndim > 1)


@every_family
def test_config_round_trip(family_name, tmp_path):
    config = tiny_config(family_name)
    config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert type(again) is type(config)
    first, second = config.to_dict(), again.to_dict()
    first.pop("_name_or_path", None), second.pop("_name_or_path", None)
    assert first == second


@every_family
def test_config_is_strict(family_name):
    field = next(name for name, value in load_family(family_name).tiny.items() if isinstance(value, int))
    with pytest.raises(StrictDataclassError, match=field):
        tiny_config(family_name, **{field: "many"})


@every_family
def test_config_takes_no_positional_arguments(family_name):
    with pytest.raises(ValueError, match="positional"):
        load_family(family_name).config_class(1)


@every_case
def test_forward_returns_loss_and_one_row_each(family_name, task_name):
    model = tiny_model(family_name, task_name)
    inputs = INPUTS[task_name](model.config, rows=3)
    output = model(**inputs)
    assert output.loss.ndim == 0 and torch.isfinite(output.loss)
    assert len(predictions(model, inputs)) == 3


@every_case
def test_return_dict_false_gives_the_same_as_a_tuple(family_name, task_name):
    model = tiny_model(family_name, task_name).eval()
    inputs = INPUTS[task_name](model.config, rows=2)
    as_tuple = model(**inputs, return_dict=False)
    assert isinstance(as_tuple, tuple)
    torch.testing.assert_close(as_tuple[0], model(**inputs).loss)
    inputs = {name: value for name, value in inputs.items() if name not in LABELS}
    base = model.base_model
    torch.testing.assert_close(base(**inputs, return_dict=False)[0], base(**inputs).last_hidden_state)


@every_case
def test_hidden_states_on_request_are_what_the_next_layer_reads(family_name, task_name):
    model = tiny_model(family_name, task_name)
    inputs = INPUTS[task_name](model.config, rows=2)
    assert not [name for name in model(**inputs) if name.endswith("hidden_states")]
    outputs = model(**inputs, output_hidden_states=True)
    names = [name for name in outputs if name.endswith("hidden_states")]
    states = [state for name in names for state in outputs[name] if state.requires_grad]
    for state in states:
        state.retain_grad()
    outputs.loss.backward()
    assert states and all(state.grad is not None for state in states)


@every_case
def test_loss_falls(family_name, task_name):
    model = tiny_model(family_name, task_name)
    inputs = INPUTS[task_name](model.config, rows=8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(15):
        loss = model(**inputs).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@every_case
def test_every_parameter_gets_a_gradient(family_name, task_name):
    model = tiny_model(family_name, task_name)
    model(**INPUTS[task_name](model.config, rows=4)).loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@every_case
def test_save_and_load_give_the_same_outputs(family_name, task_name, tmp_path):
    model = tiny_model(family_name, task_name)
    inputs = INPUTS[task_name](model.config, rows=2)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    loaded = load_task(task_name).auto_class.from_pretrained(tmp_path)
    assert type(loaded) is type(model)
    torch.testing.assert_close(predictions(loaded, inputs), predictions(model, inputs), rtol=0, atol=0)


@every_case
def test_the_base_model_loads_from_a_model_with_a_head(family_name, task_name, tmp_path):
    model = tiny_model(family_name, task_name)
    model.save_pretrained(tmp_path)
    base = AutoModel.from_pretrained(tmp_path)
    assert type(base) is load_family(family_name).base_model_class
    for name, value in base.state_dict().items():
        torch.testing.assert_close(value, model.base_model.state_dict()[name])


@every_case
def test_sharded_save(family_name, task_name, tmp_path):
    model = tiny_model(family_name, task_name)
    model.save_pretrained(tmp_path, max_shard_size="2KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    loaded = type(model).from_pretrained(tmp_path)
    inputs = INPUTS[task_name](model.config, rows=2)
    torch.testing.assert_close(predictions(loaded, inputs), predictions(model, inputs), rtol=0, atol=0)


@every_case
def test_init_weights_covers_every_parameter_and_buffer(family_name, task_name):
    """from_pretrained builds on the meta device: what _init_weights does not set holds garbage afterwards."""
    model = tiny_model(family_name, task_name)
    for tensor in [*model.parameters(), *model.buffers()]:
        tensor._is_hf_initialized = False
        tensor.data.fill_(float("nan") if tensor.is_floating_point() else -1)
    with torch.no_grad():
        for module in model.modules():
            model._init_weights(module)
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    left = [
        n for n, t in tensors.items() if not torch.isfinite(t).all() or (not t.is_floating_point() and (t < 0).any())
    ]
    assert left == []


@every_case
def test_seed_decides_the_weights(family_name, task_name):
    first, same, other = (tiny_model(family_name, task_name, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@every_case
def test_a_row_alone_is_the_row_in_a_batch(family_name, task_name):
    model = tiny_model(family_name, task_name)
    inputs = INPUTS[task_name](model.config, rows=4)
    together = predictions(model, inputs)
    for row in range(4):
        alone = predictions(model, {name: value[row : row + 1] for name, value in inputs.items()})
        torch.testing.assert_close(alone, together[row : row + 1], rtol=1e-4, atol=1e-5)


@every_case
def test_gradient_checkpointing_changes_no_gradient(family_name, task_name):
    gradients = []
    for use_reentrant in (None, False, True):
        model = tiny_model(family_name, task_name).train()
        if use_reentrant is not None:
            model.activation_checkpointing_enable({"use_reentrant": use_reentrant})
            assert model.is_activation_checkpointing
        torch.manual_seed(0)
        model(**INPUTS[task_name](model.config, rows=4)).loss.backward()
        gradients.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(gradients[1], gradients[0])
    torch.testing.assert_close(gradients[2], gradients[0])


@every_case
@pytest.mark.filterwarnings("ignore")  # torch warns of its own ways while it exports
def test_exported_for_any_batch_and_length(family_name, task_name):
    """What torch.export took from one batch answers as the model does for another batch size and other lengths."""
    from torch.export._patches import register_gru_while_loop_decomposition, register_lstm_while_loop_decomposition

    model = tiny_model(family_name, task_name).eval()
    if hasattr(model.config, "use_cache"):
        model.config.use_cache = False

    def inputs(rows: int, shorter: int) -> dict[str, torch.Tensor]:
        made = {n: v for n, v in INPUTS[task_name](model.config, rows).items() if n not in LABELS}
        if "decoder_input_ids" in made:  # with padding on the left
            made["decoder_attention_mask"] = torch.ones_like(made["decoder_input_ids"])
            made["decoder_attention_mask"][1, :2] = 0
        return {n: v[:, : v.shape[1] - shorter].clone() if n in LENGTHS else v for n, v in made.items()}

    example = inputs(3, 4)
    # Five frames of sound are two positions; torch makes a case of its own of one.
    smallest = {"source": 5 if "input_features" in example else 2}
    dimensions = {
        name: torch.export.Dim(name, min=smallest.get(name, 2), max=512) for name in {"batch", *LENGTHS.values()}
    }
    shapes = {
        name: {0: dimensions["batch"], **({1: dimensions[LENGTHS[name]]} if name in LENGTHS else {})}
        for name in example
    }
    torch._dynamo.reset()
    # torch would unroll a recurrent net, and freeze its length; its ONNX exporter takes the same way.
    with register_gru_while_loop_decomposition(), register_lstm_while_loop_decomposition():
        program = torch.export.export(model, (), kwargs=example, dynamic_shapes=shapes)
    others = inputs(5, 0)
    with torch.no_grad():
        found, expected = program.module()(**others), model(**others)
    name = next(name for name, value in expected.items() if torch.is_tensor(value) and value.ndim > 1)
    torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


@every_case
def test_bfloat16_forward(family_name, task_name):
    model = tiny_model(family_name, task_name).to(torch.bfloat16)
    inputs = INPUTS[task_name](model.config, rows=2)
    inputs = {n: v.to(torch.bfloat16) if v.is_floating_point() else v for n, v in inputs.items()}
    assert torch.isfinite(model(**inputs).loss)


@every_case
def test_trainer_steps(family_name, task_name, tmp_path):
    model = tiny_model(family_name, task_name)
    before = [p.detach().clone() for p in model.parameters()]
    output = trainer_for(model, rows_of(INPUTS[task_name](model.config, rows=8)), tmp_path).train()
    assert output.global_step == 2
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters()))


@every_case
def test_training_in_bfloat16_leaves_the_model_as_it_was(family_name, task_name, tmp_path):
    model = tiny_model(family_name, task_name)
    inputs = INPUTS[task_name](model.config, rows=8)
    trainer = trainer_for(
        model, rows_of(inputs), tmp_path, ZooTrainer, bf16=True, eval_strategy="no", save_strategy="no"
    )
    trainer.train()
    trainer.leave_autocast()
    fresh = type(model)(model.config).eval()
    fresh.load_state_dict(model.state_dict())
    torch.testing.assert_close(predictions(model.eval(), inputs), predictions(fresh, inputs), rtol=0, atol=0)
    assert isinstance(model(**inputs, return_dict=False), tuple)


@every_case
def test_accumulated_gradients_are_those_of_the_whole_batch(family_name, task_name, tmp_path):
    """A forward that swallows **kwargs makes the Trainer think that it divides by the number of items."""
    norms = []
    for batch, accumulation in ((8, 1), (2, 4)):
        # Evaluation mode: batch statistics and dropout would differ between the two ways for good reasons.
        model = tiny_model(family_name, task_name).eval()
        model.train = lambda mode=True: model  # noqa: B023
        rows = rows_of(INPUTS[task_name](model.config, rows=8))
        settings = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation, "max_steps": 1}
        trainer = trainer_for(model, rows, tmp_path, **settings)
        trainer.train()
        norms.append(next(float(e["grad_norm"]) for e in trainer.state.log_history if "grad_norm" in e))
    assert norms[1] == pytest.approx(norms[0], rel=0.05)


@every_case
def test_resumed_training_ends_at_the_same_weights(family_name, task_name, tmp_path):
    weights = {}
    for name, steps in (("whole", [4]), ("resumed", [2, 4])):
        for number, limit in enumerate(steps):
            model = tiny_model(family_name, task_name)
            rows = rows_of(INPUTS[task_name](model.config, rows=16))
            settings = {"max_steps": limit, "save_steps": 2, "lr_scheduler_type": "constant"}
            trainer = trainer_for(model, rows, tmp_path / name, **settings)
            trainer.train(resume_from_checkpoint=str(tmp_path / name / "checkpoint-2") if number else None)
        weights[name] = model.state_dict()
    for name, value in weights["whole"].items():
        torch.testing.assert_close(weights["resumed"][name], value, rtol=0, atol=0)


def test_remote_code_without_the_library(tmp_path, monkeypatch):
    """Saved with its code, every model loads and answers alike where `zoo` cannot be imported."""
    auto_classes = {}
    for family_name, task_name in CASES:
        model, folder = tiny_model(family_name, task_name).eval(), tmp_path / family_name
        auto_classes[str(folder)] = load_task(task_name).auto_class.__name__
        monkeypatch.setattr(type(model), "_auto_class", auto_classes[str(folder)])
        monkeypatch.setattr(type(model.config), "_auto_class", "AutoConfig")
        model.save_pretrained(folder)
        assert "auto_map" in json.loads((folder / "config.json").read_text())
        inputs = {n: v for n, v in INPUTS[task_name](model.config, 2).items() if n not in LABELS}
        torch.save((inputs, predictions(model, inputs)), folder / "expected.pt")
    code = """
        import json, sys
        sys.modules["zoo"] = None  # importing it raises ImportError
        import torch, transformers
        for folder, auto_class in json.loads(sys.argv[1]).items():
            inputs, expected = torch.load(folder + "/expected.pt")
            model = getattr(transformers, auto_class).from_pretrained(folder, trust_remote_code=True).eval()
            assert type(model).__module__.startswith("transformers_modules."), type(model).__module__
            output = next(value for value in model(**inputs).to_tuple() if torch.is_tensor(value) and value.ndim > 1)
            torch.testing.assert_close(output, expected, msg=folder)
            print("same")
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), json.dumps(auto_classes)]
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules")}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert run.returncode == 0 and run.stdout.count("same") == len(CASES), run.stderr
