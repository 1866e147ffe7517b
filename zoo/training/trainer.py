"""ZooTrainer and ZooSeq2SeqTrainer: transformers' Trainers with what the library's arguments add."""

import logging
import math
import time
import warnings
from collections.abc import Callable, Collection, Mapping, Sized
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, SequentialSampler
from transformers import (
    PreTrainedModel,
    ProgressCallback,
    Seq2SeqTrainer,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled
from transformers.integrations.fsdp import is_fsdp_managed_module
from transformers.trainer_utils import (
    EvalLoopOutput,
    TrainOutput,
    denumpify_detensorize,
    get_last_checkpoint,
    has_length,
)

from .arguments import ZooSeq2SeqTrainingArguments, ZooTrainingArguments
from .averaging import AverageCallback, choose_weights
from .callbacks import (
    ClockCallback,
    EMACallback,
    EpochCallback,
    NamedProgressCallback,
    StopEarlyCallback,
    logged_metric,
)
from .distillation import Distillation, logits_arguments, share_of_step
from .optimizers import MuonWithAdamW, muon_groups
from .prediction import Prediction
from .r_drop import RDrop, symmetric_divergence
from .token_batches import LengthBatches, SortedRows, TokenBatchSampler

IGNORED = -100  # padding of labels and predictions

# transformers warns of checkpoints less than a second apart, which nobody can act on.
logging.getLogger("transformers.trainer_utils").addFilter(lambda record: "mtime may not" not in record.getMessage())


class ZooTrainer(Trainer):
    """A Trainer that reads every field of [`ZooTrainingArguments`]: moving average, Muon, batches by tokens, early
    stopping, averaging of checkpoints.

    Evaluations measure every row, also with `dataloader_drop_last`. A data set whose attribute `lengths` holds the
    tokens of each row, of shape `(rows,)` or `(rows, sides)`, is evaluated from its longest row to its shortest;
    `compute_metrics` gets everything in the data set's own order. `set_epoch(epoch)` of the training data is called
    before each epoch if it exists.

    ```python
    >>> import torch
    >>> from zoo.models.fashion_cnn import FashionCNNConfig, FashionCNNForImageClassification
    >>> from zoo.training.arguments import ZooTrainingArguments
    >>> from zoo.training.trainer import ZooTrainer

    >>> images, labels = torch.randn(64, 1, 28, 28), torch.arange(64) % 10
    >>> rows = [{"pixel_values": image, "labels": label} for image, label in zip(images, labels)]
    >>> trainer = ZooTrainer(
    ...     model=FashionCNNForImageClassification(FashionCNNConfig(stage_channels=[8, 8])),
    ...     args=ZooTrainingArguments(
    ...         "runs/example", num_train_epochs=1, ema_decay=0.9, muon_learning_rate=0.02, disable_tqdm=True
    ...     ),
    ...     train_dataset=rows[:48],
    ...     eval_dataset=rows[48:],
    ...     compute_metrics=lambda p: {"accuracy": (p.predictions.argmax(-1) == p.label_ids).mean()},
    ... )
    >>> result = trainer.train()  # doctest: +ELLIPSIS
    {'loss': ...}
    >>> trainer.predict_rows(rows[48:]).predictions.shape
    (16, 10)

    ```

    Args:
        model: What is trained.
        args: Default: those of [`ZooTrainingArguments`], with the output in `tmp_trainer`.
        train_dataset: Training rows; None to evaluate only.
        eval_dataset: Validation rows.
        data_collator: Rows -> arguments of the model's forward.
        compute_metrics: A [`Prediction`] -> metrics.
        processing_class: What prepares the model's inputs; it is saved with the model.
        callbacks: Further callbacks, which come after the Trainer's own.
        no_decay: Names of parameters that weight decay leaves alone, beside biases and norms.
        compute_loss_func: (outputs, labels, num_items_in_batch) -> loss; default: the model's own.
        distillation: Teachers; see [`~zoo.training.distillation.Distillation`].
        distance_func: How far two outputs for the same rows differ, for `args.r_drop_alpha`; see
            [`~zoo.training.r_drop.RDrop`].
        kwargs: Further arguments of [`~transformers.Trainer`].

    Raises:
        ValueError: `batch_tokens` is set, and the training rows have no lengths; or `args` name teachers, which only
            a run of `zoo train` loads.
    """

    arguments_class: type[ZooTrainingArguments] = ZooTrainingArguments
    args: ZooTrainingArguments
    optimizer: torch.optim.Optimizer | None
    control: TrainerControl

    def __init__(
        self,
        model: PreTrainedModel | torch.nn.Module | None = None,
        args: ZooTrainingArguments | None = None,
        *,
        train_dataset: Dataset | None = None,
        eval_dataset: Dataset | Mapping[str, Dataset] | None = None,
        data_collator: Callable[[Any], dict[str, Any]] | None = None,
        compute_metrics: Callable[[Prediction], dict[str, float]] | None = None,
        processing_class: Any = None,
        callbacks: Collection[TrainerCallback] = (),
        no_decay: Collection[str] = (),
        compute_loss_func: Callable[..., torch.Tensor] | None = None,
        distillation: Distillation | None = None,
        distance_func: Callable[..., torch.Tensor] = symmetric_divergence,
        **kwargs: Any,
    ):
        args = args or self.arguments_class("tmp_trainer", eval_strategy="no" if eval_dataset is None else "epoch")
        if args.teachers and distillation is None:
            raise ValueError("`zoo train` loads teachers; in Python, give distillation=zoo.Distillation(models)")
        if distillation is not None and any(teacher is model for teacher in distillation.teachers):
            raise ValueError("the model is its own teacher: load it twice")
        self.no_decay = frozenset(no_decay)
        self.distillation = distillation
        self.r_drop = RDrop(args.r_drop_alpha, distance_func) if args.r_drop_alpha else None
        self.batch_sampler: TokenBatchSampler | None = None
        if args.batch_tokens and train_dataset is not None:
            if not hasattr(train_dataset, "lengths"):
                raise ValueError(
                    f"batch_tokens={args.batch_tokens}: the rows of this data have no lengths; "
                    "use per_device_train_batch_size"
                )
            self.batch_sampler = TokenBatchSampler(
                train_dataset.lengths, args.batch_tokens, args.seed, args.world_size, args.shortest_first_epochs
            )
        if args.min_steps and args.max_steps <= 0 and isinstance(train_dataset, Sized):
            args.num_train_epochs = max(args.num_train_epochs, self.least_epochs(train_dataset, args))
        self.ema = EMACallback(args.ema_decay) if args.ema_decay else None
        patience, threshold = args.early_stopping_patience, args.early_stopping_threshold
        self.early_stopping = StopEarlyCallback(patience, threshold) if patience else None
        count, by = args.average_checkpoints, args.average_checkpoints_by
        self.average = AverageCallback(count, by) if count else None
        # The record's entry of `average_checkpoints`, after training.
        self.averaging: dict[str, Any] = {}
        # Evaluations make their metrics from a Prediction, in `evaluation_loop`; transformers' loop must not.
        self.metrics_of = compute_metrics
        # Seconds a row of the last evaluation: for an estimate of the next.
        self.seconds_per_row: float | None = None
        config = getattr(model, "config", None)
        use_cache = None if config is None else vars(config).get("use_cache")
        asked = filter(None, (self.ema, self.early_stopping, self.average))
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            data_collator=data_collator,
            processing_class=processing_class,
            callbacks=[ClockCallback(), EpochCallback(train_dataset, self.batch_sampler), *asked, *callbacks],
            compute_loss_func=compute_loss_func,
            **kwargs,
        )
        # transformers sets use_cache=False. The config would be saved so, and a model that starts from it would
        # generate without a cache, which is many times slower.
        if config is not None and use_cache is None:
            vars(config).pop("use_cache", None)
        elif config is not None:
            config.use_cache = use_cache or args.use_cache
        self.progress: NamedProgressCallback | None = None
        if self.pop_callback(ProgressCallback) is not None:
            self.progress = NamedProgressCallback()
            self.add_callback(self.progress)
        self._trains_with_autocast = self.accelerator.native_amp

    def least_epochs(self, train_dataset: Sized, args: ZooTrainingArguments) -> int:
        """How many epochs `min_steps` are."""
        if self.batch_sampler is not None:
            batches = len(self.batch_sampler) // args.world_size
        else:
            batches = math.ceil(len(train_dataset) / (args.train_batch_size * args.world_size))
        return math.ceil(args.min_steps / max(math.ceil(batches / args.gradient_accumulation_steps), 1))

    def get_decay_parameter_names(self, model: torch.nn.Module) -> list[str]:
        """Names of the parameters that weight decay changes."""
        return [name for name in super().get_decay_parameter_names(model) if name not in self.no_decay]

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """Muon and AdamW if `muon_learning_rate` is set, else `optim`."""
        if self.optimizer is None and self.args.muon_learning_rate:
            trained = self.model if model is None else model
            decay = set(self.get_decay_parameter_names(trained))
            self.optimizer = MuonWithAdamW(muon_groups(trained, self.args, decay))
        return super().create_optimizer(model)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        """transformers' loss; in training with `distillation` or `r_drop_alpha`, with what they add."""
        if not model.training or (self.distillation is None and self.r_drop is None):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        batch, labels_of_step = inputs, num_items_in_batch
        if self.r_drop is not None:
            batch = self.r_drop.twice(inputs)
            labels_of_step = None if labels_of_step is None else 2 * labels_of_step
        asked = {**batch, **logits_arguments(self.accelerator.unwrap_model(model, keep_torch_compile=False))}
        loss, outputs = super().compute_loss(model, asked, True, labels_of_step)
        divisor = None  # None: the loss is a mean over this batch
        if labels_of_step is not None and (self.compute_loss_func is not None or self.model_accepts_loss_kwargs):
            processes = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
            divisor = labels_of_step / processes
        with self.accelerator.autocast():
            if self.distillation is not None:
                loss = self.distillation.mix(loss, outputs, batch, divisor)
            if self.r_drop is not None:  # divided by the labels of both passes, as the loss is
                loss = loss + share_of_step(self.r_drop.loss(outputs, inputs), batch, divisor)
        return (loss, outputs) if return_outputs else loss

    def _loader(self, dataset: Dataset, batch_sampler: TokenBatchSampler | LengthBatches) -> DataLoader:
        """A data loader whose batches are lists of rows."""
        loader = DataLoader(
            dataset,
            batch_sampler=batch_sampler,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
            persistent_workers=self.args.dataloader_persistent_workers,
            prefetch_factor=self.args.dataloader_prefetch_factor,
        )
        return self.accelerator.prepare(loader)

    def get_train_dataloader(self) -> DataLoader:
        """Batches of `batch_tokens`, or transformers' batches."""
        if self.batch_sampler is None:
            drop_last, self.args.dataloader_drop_last = self.args.dataloader_drop_last, self._fills_a_batch()
            try:
                return super().get_train_dataloader()
            finally:
                self.args.dataloader_drop_last = drop_last
        return self._loader(self.train_dataset, self.batch_sampler)

    def _fills_a_batch(self) -> bool:
        """Whether the last batch can be dropped: where it is the only one, nothing would be left to train on."""
        batch = self.args.train_batch_size * self.args.world_size
        short = has_length(self.train_dataset) and len(self.train_dataset) < batch
        return self.args.dataloader_drop_last and not short

    def get_eval_dataloader(self, eval_dataset: Dataset | str | None = None) -> DataLoader:
        """Every row, sorted by length if the rows have lengths."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        dataset = self.eval_dataset[dataset] if isinstance(dataset, str) else dataset
        if hasattr(dataset, "lengths"):
            rows = SortedRows(dataset)
            if self.args.world_size == 1:
                return self._loader(rows, LengthBatches(rows.lengths, self.args.eval_batch_size))
            dataset = rows
        drop_last, self.args.dataloader_drop_last = self.args.dataloader_drop_last, False  # it is for training
        try:
            return super().get_eval_dataloader(dataset)
        finally:
            self.args.dataloader_drop_last = drop_last

    def get_test_dataloader(self, test_dataset: Dataset) -> DataLoader:
        """As `get_eval_dataloader`."""
        return self.get_eval_dataloader(test_dataset)

    def _get_eval_sampler(self, eval_dataset: Sized) -> SequentialSampler | None:
        # Predictions are returned in this order, also with train_sampling_strategy=group_by_length.
        return SequentialSampler(eval_dataset) if self.args.world_size <= 1 else None

    def _run_loop(
        self, dataloader: DataLoader, description: str, prefix: str, **kwargs: Any
    ) -> tuple[EvalLoopOutput, Prediction]:
        """(transformers' output, which has the loss, predictions of every row in the data set's order)."""
        self.gather_function = self.accelerator.gather_for_metrics  # without the rows that fill the last batch
        if self.progress is not None and self.is_world_process_zero():
            self.progress.begin(description, len(dataloader))
        started = time.perf_counter()
        output = super().evaluation_loop(dataloader, description, metric_key_prefix=prefix, **kwargs)
        dataset: Any = dataloader.dataset
        predictions, labels = output.predictions, output.label_ids
        self.seconds_per_row = (time.perf_counter() - started) / max(len(dataset), 1)
        if isinstance(dataset, SortedRows):
            predictions, labels = dataset.restore(predictions), dataset.restore(labels)
            dataset = dataset.dataset
        return output._replace(predictions=predictions, label_ids=labels), Prediction(predictions, labels, dataset)

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """The loop of `evaluate` and `predict`: predictions, labels and metrics in the data set's order."""
        loss_only = prediction_loss_only if self.metrics_of is None else None
        output, prediction = self._run_loop(
            dataloader, "Evaluating", metric_key_prefix, prediction_loss_only=loss_only, ignore_keys=ignore_keys
        )
        metrics: dict[str, Any] = {}
        if self.metrics_of is not None and (prediction.predictions is not None or prediction.losses is not None):
            metrics = denumpify_detensorize(self.metrics_of(prediction))
        prefix = f"{metric_key_prefix}_"
        named = {f"{prefix}{name.removeprefix(prefix)}": value for name, value in metrics.items()}
        return output._replace(metrics={**named, **output.metrics})

    def predict_rows(self, dataset: Dataset, phase: str = "Measuring", **generation: Any) -> Prediction:
        """Predictions of the final weights for every row, in full precision.

        Args:
            dataset: The rows.
            phase: Name of the progress bar.
            generation: Settings of `generate` in place of the model's own, if the model generates.

        Raises:
            RuntimeError: There are fewer predictions than rows.
        """
        self.leave_autocast()
        _, prediction = self._run_loop(self.get_test_dataloader(dataset), phase, "test", prediction_loss_only=None)
        self.control = self.callback_handler.on_predict(self.args, self.state, self.control, {})
        labels = prediction.label_ids
        measured = len(labels[0] if isinstance(labels, tuple) else labels)
        rows = len(dataset)  # type: ignore[arg-type]
        if measured != rows:
            raise RuntimeError(f"there are predictions for {measured:,} of {rows:,} rows")
        return prediction

    def final_cost(self) -> float:
        """How many times longer `predict_rows` takes for a row than an evaluation during training, about."""
        return 1.0

    def leave_autocast(self) -> None:
        """Compute in the precision of the weights from now on, as those do who load the model.

        accelerate leaves bfloat16's autocast around the model's forward after training. Its own way to remove it
        (`unwrap_model(keep_fp32_wrapper=False)`) also removes the decorators of the model's forward, which then no
        longer accepts `return_dict`.
        """
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            return
        self.accelerator.native_amp = False
        model = self.accelerator.unwrap_model(self.model)
        if "_original_forward" in vars(model):
            model.forward = vars(model).pop("_original_forward")

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> TrainOutput | None:
        """Train, or resume.

        The model ends with the weights of the last step, or, with `load_best_model_at_end`, those of the checkpoint
        that is best by `metric_for_best_model`; with `ema_decay` it is the moving average at that step. With
        `average_checkpoints` it ends with their mean if the mean is not worse by the same metric.

        Args:
            resume_from_checkpoint: A checkpoint folder, or True for the last one in `output_dir`. A run that had
                ended at this checkpoint, early or at `max_steps`, does not train on.
            kwargs: Further arguments of transformers' `train`.

        Returns:
            None if the run had ended.

        Raises:
            ValueError: `resume_from_checkpoint` is True, and `output_dir` has no checkpoint.
        """
        checkpoint = resume_from_checkpoint or None
        if isinstance(checkpoint, bool):
            checkpoint = get_last_checkpoint(self.args.output_dir)
            if checkpoint is None:
                raise ValueError(f"{self.args.output_dir} holds no checkpoint to resume from")
        self.accelerator.native_amp = self._trains_with_autocast
        if checkpoint and self.ema is not None:
            self.ema.load(Path(checkpoint))
        if checkpoint and self.average is not None and self.is_world_process_zero():
            self.average.load(Path(checkpoint), Path(self.args.output_dir))
        output = None
        if not checkpoint or not self._is_over(checkpoint):
            with warnings.catch_warnings():
                # With several processes, of filters of one channel, whose strides are ambiguous.
                warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
                output = super().train(resume_from_checkpoint=checkpoint, **kwargs)
        if self.average is not None:
            self.leave_autocast()
            self.averaging = choose_weights(self, self.average)
        return output

    def _is_over(self, checkpoint: str) -> bool:
        """Whether the run had ended at a checkpoint, early or at `max_steps`; model and state then are of its end.

        transformers' Trainer would train on: a checkpoint does not hold what stopped the run, and the last step is
        looked for only after another one.
        """
        path = Path(checkpoint) / "trainer_state.json"
        if not path.is_file():
            return False
        state = TrainerState.load_from_json(str(path))
        reached_end = 0 < self.args.max_steps <= state.global_step
        stopped = self.early_stopping is not None and self.early_stopping.is_over(self.args, state.log_history)
        if not reached_end and not stopped:
            return False
        self.state = state
        best = state.best_model_checkpoint if self.args.load_best_model_at_end else None
        self._load_from_checkpoint(best or checkpoint)
        self.control = self.callback_handler.on_train_end(self.args, self.state, self.control)
        return True

    def _determine_best_metric(self, metrics: Mapping[str, float], trial: object) -> bool:
        name = logged_metric(self.args)
        if self.args.metric_for_best_model is not None and name not in metrics:
            known = ", ".join(sorted(key.removeprefix("eval_") for key in metrics if key.startswith("eval_")))
            raise ValueError(f"metric_for_best_model={name.removeprefix('eval_')}: evaluations have only {known}")
        return super()._determine_best_metric(metrics, trial)

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        # A file holds a tied weight under one name; the second one is not missing.
        tied = getattr(self.model, "all_tied_weights_keys", {})
        load_result.missing_keys[:] = [name for name in load_result.missing_keys if name not in tied]
        super()._issue_warnings_after_load(load_result)


class ZooSeq2SeqTrainer(ZooTrainer, Seq2SeqTrainer):
    """[`ZooTrainer`] for models that generate: exact losses, and generation for a sample during training.

    The loss of an evaluation is the mean over tokens, without label smoothing. During training `generation_samples`
    rows are generated for, spread evenly over the validation rows by their method `take(rows)`; the loss is of all.
    `predict_rows` generates with the model's own settings, not with those of training.

    Args:
        args: Default: those of [`ZooSeq2SeqTrainingArguments`].
        kwargs: See [`ZooTrainer`]. Batches hold `labels`; also `decoder_input_ids` if the model is called without
            labels, as the Trainer does with label smoothing.
    """

    arguments_class = ZooSeq2SeqTrainingArguments
    args: ZooSeq2SeqTrainingArguments
    # Settings of `generate` in the loop that runs; None: only losses are measured.
    _generation: dict[str, Any] | None = None

    def __init__(
        self, model: PreTrainedModel | None = None, args: ZooSeq2SeqTrainingArguments | None = None, **kwargs: Any
    ):
        super().__init__(model, args, **kwargs)
        # A model that smooths its own loss need not hold all logits for it, as the Trainer's smoother must.
        self.smooths_in_model = bool(
            self.args.label_smoothing_factor and getattr(self.model, "accepts_label_smoothing", False)
        )
        if self.smooths_in_model:
            self.label_smoother = None

    def compute_loss(
        self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        """The model's loss, smoothed by `label_smoothing_factor`."""
        if self.smooths_in_model:
            inputs = {**inputs, "label_smoothing": self.args.label_smoothing_factor}
        return super().compute_loss(model, inputs, *args, **kwargs)

    def prediction_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...], torch.Tensor]:
        """(mean token loss, (generated tokens,) and the summed token losses of each row, labels) of a batch."""
        inputs = self._prepare_inputs(inputs)
        labels = inputs["labels"]
        given = {name: value for name, value in inputs.items() if name != "labels"}
        with torch.no_grad(), self.compute_loss_context_manager():
            logits = model(**(given if "decoder_input_ids" in given else inputs), use_cache=False).logits
            losses = cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), reduction="none")
        losses = losses.view(labels.shape).sum(1)
        mean = losses.sum() / (labels != IGNORED).sum().clamp(min=1)
        if self._generation is None:
            return mean, (losses,), labels
        settings = {name: value for name, value in {**self._generation, **kwargs}.items() if value is not None}
        # Processes that share one model's weights generate until the last one's rows are done.
        settings["synced_gpus"] = is_deepspeed_zero3_enabled() or is_fsdp_managed_module(self.model)
        given = {name: value for name, value in given.items() if not name.startswith("decoder_")}
        with torch.no_grad():
            tokens = self.model.generate(**given, **settings)
        return mean, (tokens, losses), labels

    def _run_loop(
        self, dataloader: DataLoader, description: str, prefix: str, **kwargs: Any
    ) -> tuple[EvalLoopOutput, Prediction]:
        kwargs["prediction_loss_only"] = False
        output, raw = super()._run_loop(dataloader, description, prefix, **kwargs)
        *generated, losses = raw.predictions
        tokens = generated[0] if generated else None
        # transformers' mean over batches counts a token of a short row more than one of a long row.
        loss = float(losses.sum(dtype=np.float64) / max((raw.label_ids != IGNORED).sum(), 1))
        output = output._replace(predictions=tokens, metrics={**output.metrics, f"{prefix}_loss": loss})
        return output, Prediction(tokens, raw.label_ids, raw.dataset, losses)

    def evaluation_loop(self, dataloader: DataLoader, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """The loop of `evaluate` and `predict`; during training it generates for `generation_samples` rows."""
        settings = self._gen_kwargs if self.args.predict_with_generate else None
        dataset: Any = dataloader.dataset
        dataset = dataset.dataset if isinstance(dataset, SortedRows) else dataset
        sample = self.args.generation_samples
        samples = self.is_in_train and settings is not None and 0 < sample < len(dataset) and hasattr(dataset, "take")
        self._generation = None if samples else settings
        whole = super().evaluation_loop(dataloader, *args, **kwargs)
        if not samples:
            return whole
        self._generation = settings
        part = super().evaluation_loop(self.get_eval_dataloader(dataset.take(sample)), *args, **kwargs)
        return part._replace(metrics={**part.metrics, **whole.metrics}, num_samples=whole.num_samples)

    def predict_rows(self, dataset: Dataset, phase: str = "Measuring", **generation: Any) -> Prediction:
        """Predictions of the final weights, generated with the model's own settings; see [`ZooTrainer`]."""
        self._generation = generation
        return super().predict_rows(dataset, phase, **generation)

    def final_cost(self) -> float:
        """The ratio of beams: of the model's own settings to those of evaluations during training."""
        beams = self.model.generation_config.num_beams or 1
        return beams / (self.args.generation_num_beams or beams)


__all__ = ["Prediction", "ZooSeq2SeqTrainer", "ZooTrainer"]
