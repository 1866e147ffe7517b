"""Recipes and the command line: strict, and flags win over YAML, YAML over defaults."""

import pytest

from zoo.pretrained import shipped_models
from zoo.registry import load_task
from zoo.training.command_line import parse_overrides, parse_run
from zoo.training.recipe import UsageError, available_recipes, load_recipe

BASE = "family: fashion_cnn\ntask: image_classification\n"


@pytest.fixture
def recipe_file(tmp_path):
    def write(text: str):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return path

    return write


def weights_for(name: str) -> list[str]:
    """What a recipe without a family needs: weights to go on with."""
    return [] if load_recipe(name).family else ["--model_name_or_path", "transformer-translator-en-de"]


@pytest.mark.parametrize("name", available_recipes())
def test_shipped_recipes_parse_and_a_resolved_one_resolves_to_itself(name, tmp_path):
    settings = parse_run([name, "--output_dir", str(tmp_path), *weights_for(name)])
    resolved = settings.recipe
    assert resolved.id == name and resolved.description and resolved.publish["license"]
    metric = resolved.training.get("metric_for_best_model") or load_task(resolved.task).metric
    assert settings.training.metric_for_best_model == metric
    path = tmp_path / f"{name}.yaml"
    path.write_text(resolved.to_yaml())
    assert parse_run([str(path)]).recipe.to_dict() == resolved.to_dict()


@pytest.mark.parametrize("name", shipped_models())
def test_recipes_of_shipped_models_still_parse_and_are_the_same_run(name):
    recipe = load_recipe(shipped_models()[name] / "recipe.yaml")
    resolved = parse_run([str(shipped_models()[name] / "recipe.yaml")]).recipe
    assert resolved.what_is_learnt() == recipe.what_is_learnt()


@pytest.mark.parametrize(
    ("recipe", "metric", "greater_is_better"),
    [
        ("fashion-cnn", "macro_f1", True),
        ("fashion-cnn", "nll", False),
        ("lstm-forecaster-m4-hourly", "mae", False),
        ("speech-digits", "cer", False),
        ("speech-digits", "sentence_accuracy", True),
    ],
)
def test_the_task_knows_which_direction_of_its_metrics_is_better(recipe, metric, greater_is_better):
    training = parse_run([recipe, "--metric_for_best_model", metric]).training
    assert training.greater_is_better is greater_is_better


def test_the_tasks_metric_compares_evaluations_unless_another_is_named(recipe_file):
    def training(text="", *flags):
        return parse_run([str(recipe_file(BASE + text)), *flags]).training

    assert (training().metric_for_best_model, training().greater_is_better) == ("accuracy", True)
    other = training("training: {metric_for_best_model: macro_f1}\n")
    assert (other.metric_for_best_model, other.greater_is_better) == ("macro_f1", True)
    assert training("", "--metric_for_best_model", "loss").greater_is_better is False
    forecasts = parse_run(["lstm-forecaster-m4-hourly"]).training
    assert forecasts.greater_is_better is False


def test_a_metric_of_generated_texts_needs_generation():
    """transformers would stop at the first evaluation with a KeyError."""
    off = ["translator", "--train_file", "mine.tsv", "--predict_with_generate", "false", "--metric_for_best_model"]
    with pytest.raises(UsageError, match="load_best_model_at_end compares evaluations by bleu, which needs predict_w"):
        parse_run([*off, "bleu"])
    assert parse_run([*off, "loss"]).training.metric_for_best_model == "loss"


def test_flags_win_over_yaml_and_yaml_over_defaults(recipe_file):
    path = recipe_file(BASE + "training: {learning_rate: 1e-4, weight_decay: 0.5}\ndata: {random_shift: 3}\n")
    settings = parse_run([str(path), "--learning_rate", "0.25", "--random_flip", "random"])
    assert settings.training.learning_rate == 0.25
    assert settings.training.weight_decay == 0.5
    assert settings.training.eval_strategy == "epoch"
    assert (settings.data.random_shift, settings.data.random_flip) == (3, "random")
    assert settings.recipe.training["learning_rate"] == 0.25


def test_what_differs_from_the_defaults_of_a_run_is_kept(recipe_file, tmp_path):
    """`no` is transformers' default, and not that of a run."""
    path = recipe_file(BASE)
    flags = ["--eval_strategy", "no", "--per_device_eval_batch_size", "32"]
    plain, changed = parse_run([str(path)]).recipe, parse_run([str(path), *flags]).recipe
    assert changed.training == {"eval_strategy": "no", "per_device_eval_batch_size": 32} and not plain.training
    (tmp_path / "again.yaml").write_text(changed.to_yaml())
    again = parse_run([str(tmp_path / "again.yaml")])
    assert (again.training.eval_strategy, again.training.per_device_eval_batch_size) == ("no", 32)
    assert plain.what_is_learnt()["training"] == {}
    assert changed.what_is_learnt()["training"] == {"eval_strategy": "no"}  # the batch changes the time alone


def test_yaml_numbers_without_a_point_are_numbers(recipe_file):
    settings = parse_run([str(recipe_file(BASE + "training: {learning_rate: 1e-4, muon_learning_rate: 2e-2}"))])
    assert settings.training.learning_rate == 1e-4
    assert settings.training.muon_learning_rate == 2e-2


def test_model_overrides_reach_the_recipe(recipe_file):
    overrides = "stage_channels=[8,16],classifier_dropout=0.25,residual=false,hidden_act=gelu"
    settings = parse_run([str(recipe_file(BASE + "model: {residual: true}")), "--model_overrides", overrides])
    expected = {"stage_channels": [8, 16], "classifier_dropout": 0.25, "residual": False, "hidden_act": "gelu"}
    assert settings.recipe.model == expected


def test_a_flag_that_names_other_data_replaces_the_recipes(recipe_file):
    path = recipe_file(BASE + "data: {dataset_name: some/images, data_dir: here}\n")
    data = parse_run([str(path), "--train_dir", "mine"]).recipe.data
    assert data == {"train_dir": "mine"}
    with pytest.raises(UsageError, match="--train_dir and --data_dir both name the data"):
        parse_run([str(path), "--train_dir", "mine", "--data_dir", "here"])


def test_own_weights_bring_their_own_architecture(recipe_file):
    path = recipe_file(BASE + "model: {stage_channels: [8]}")
    settings = parse_run([str(path), "--model_name_or_path", "some/model", "--model_overrides", "conv_dropout=0.1"])
    assert settings.recipe.model == {"conv_dropout": 0.1}
    assert settings.recipe.model_name_or_path == "some/model"


def test_keys_can_be_merged_and_then_replaced(recipe_file):
    """YAML's own way to say a thing once."""
    shared = "training: {<<: [&all {seed: 1, num_train_epochs: 2}], seed: 3}\ndata: {<<: {random_shift: 2}}\n"
    recipe = load_recipe(recipe_file(BASE + shared))
    assert recipe.training == {"seed": 3, "num_train_epochs": 2} and recipe.data == {"random_shift": 2}


def test_where_a_run_lies_is_not_part_of_its_recipe(recipe_file, tmp_path):
    path = recipe_file(BASE)
    flags = ["--output_dir", str(tmp_path / "x"), "--disable_tqdm", "true", "--save_total_limit", "1"]
    assert parse_run([str(path), *flags]).recipe.to_dict() == parse_run([str(path)]).recipe.to_dict()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BASE + "modle: {}", r"unknown key 'modle'; did you mean 'model'"),
        (BASE + "model: {hidden_siz: 3}", r"model: unknown key 'hidden_siz'; did you mean"),
        (BASE + "data: {random_shif: 3}", r"data: unknown key 'random_shif'; did you mean 'random_shift'"),
        (BASE + "training: {learnin_rate: 3}", r"training: unknown key 'learnin_rate'; did you mean 'learning_rate'"),
        (BASE + "publish: {licence: mit}", r"publish: unknown key 'licence'; did you mean 'license'"),
        (BASE + "training: [1]", r"training must be a mapping, not list"),
        ("family: fashion_cnn", r"the key 'task' is missing"),
        ("family: fashion_cn\ntask: image_classification", r"unknown family 'fashion_cn'; did you mean 'fashion_cnn'"),
        ("family: fashion_cnn\ntask: images_class", r"unknown task 'images_class'; did you mean 'image_class"),
        ("- 1", r"a recipe is a mapping"),
        ("a: [", r"not a YAML file"),
        (BASE + "training: {seed: 1, seed: 2}", r"duplicated key 'seed'"),
    ],
)
def test_wrong_recipes_name_key_and_nearest(recipe_file, text, message):
    with pytest.raises(UsageError, match=message) as error:
        load_recipe(recipe_file(text))
    assert "mine.yaml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "name a recipe first"),
        (["fashion-cn"], "no recipe 'fashion-cn'; did you mean 'fashion-cnn'"),
        (["nowhere.yaml"], "no such recipe file"),
        (["fashion-cnn", "--learnin_rate", "1"], "unknown argument '--learnin_rate'; did you mean '--learning_rate'"),
        (["fashion-cnn", "--learning", "1"], "unknown argument '--learning'"),
        (["fashion-cnn", "--zzz", "1"], "unknown argument '--zzz'; --help lists the flags$"),
        (["fashion-cnn", "true"], "unexpected argument 'true': every value comes after its flag"),
        (["fashion-cnn", "--optim", "adamw_trch"], "'adamw_trch' is not a choice; did you mean 'adamw_torch'"),
        (["fashion-cnn", "--learning_rate", "fast"], "learning_rate"),
        (["fashion-cnn", "--random_flip", "up"], "random_flip='up' is not one of none, random, alternate"),
        (["fashion-cnn", "--ema_decay", "2"], "ema_decay=2.0 must be at least 0 and below 1"),
        (["fashion-cnn", "--model_overrides", "dropout"], "'dropout' is not KEY=VALUE"),
        (["fashion-cnn", "--model_overrides", "stage_chanels=[3]"], "did you mean 'stage_channels'"),
        (["fashion-cnn", "--eval_strategy", "sometimes"], "sometimes"),
    ],
)
def test_wrong_command_lines_are_one_line(flags, message):
    with pytest.raises(UsageError, match=message) as error:
        parse_run(flags)
    assert "\n" not in str(error.value)


def test_overrides_keep_commas_inside_brackets():
    text = "a=1,b=[2,3],c={x: 1, y: 2},d=-1e-3,e=[[1,2],[3]],f='4,5=6',g=\"1e5\""
    assert parse_overrides(text) == {
        "a": 1, "b": [2, 3], "c": {"x": 1, "y": 2}, "d": -1e-3, "e": [[1, 2], [3]], "f": "4,5=6", "g": "1e5",
    }  # fmt: skip


def test_texts_that_look_like_numbers_survive_a_saved_recipe(tiny_recipe, tmp_path):
    settings = parse_run([str(tiny_recipe), "--train_dir", "12e3", "--output_dir", str(tmp_path / "run")])
    (tmp_path / "saved.yaml").write_text(settings.recipe.to_yaml())
    assert parse_run([str(tmp_path / "saved.yaml")]).data.train_dir == "12e3"


@pytest.mark.parametrize("text", ["a=2020-13-45", "a=0x_"])
def test_values_that_look_like_others_and_are_none(text):
    with pytest.raises(UsageError, match="--model_overrides: cannot read .* put a text in quotes"):
        parse_overrides(text)


@pytest.mark.parametrize("supported", [True, False])
def test_bf16_where_the_hardware_has_it(supported, tiny_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.training.arguments.computes_in_bf16", lambda on_cpu: supported)
    arguments = ["--bf16_if_supported", "true", "--output_dir", str(tmp_path / "run")]
    settings = parse_run([str(tiny_recipe), *arguments])
    assert settings.training.bf16 is supported
    assert "bf16" not in settings.recipe.training and settings.recipe.training["bf16_if_supported"] is True


def test_a_length_that_a_flag_names_is_meant(recipe_file):
    path = str(recipe_file(BASE + "training: {num_train_epochs: 3, min_steps: 50}\n"))
    assert parse_run([path]).training.min_steps == 50
    assert parse_run([path, "--num_train_epochs", "1"]).training.min_steps == 0
    assert parse_run([path, "--max_steps", "5"]).training.min_steps == 0
    assert parse_run([path, "--num_train_epochs", "1", "--min_steps", "9"]).training.min_steps == 9


def test_help_is_grouped_and_names_each_flag_once(capsys):
    with pytest.raises(SystemExit):
        parse_run(["lstm-forecaster", "--help"])
    text = capsys.readouterr().out
    assert text.startswith("usage: zoo train lstm-forecaster [--flag value ...]")
    places = [text.index(part) for part in ("\ndata:", "--train_file", "\nmodel and run:", "\ntraining:", "--optim ")]
    assert places == sorted(places)
    assert "--train-file" not in text and "default: None" not in text and "paged_lion" not in text
    assert "Fields of the model, for --model_overrides: context_length," in text
