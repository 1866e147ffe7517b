"""The library's changes to transformers' Trainers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from transformers import Seq2SeqTrainer, Trainer
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled
from transformers.integrations.fsdp import is_fsdp_managed_module

from .token_batches import SortedRows, TokenBatchSampler

IGNORED = -100  # padding of labels and predictions


@contextmanager
def every_row(arguments: Any) -> Iterator[None]:
    """Within it, data loaders keep their last, smaller batch."""
    drop_last, arguments.dataloader_drop_last = arguments.dataloader_drop_last, False
    try:
        yield
    finally:
        arguments.dataloader_drop_last = drop_last


class EveryRowMixin:
    """Evaluate every row, the longest first where rows have lengths; train on batches by tokens if there is a sampler.

    `dataloader_drop_last` is for training, but the Trainer drops rows of evaluations too.
    """

    batch_sampler: TokenBatchSampler | None = None
    # Names of tensors that weight decay leaves alone.
    undecayed: frozenset[str] = frozenset()

    def get_decay_parameter_names(self, model: Any) -> list[str]:
        """The Trainer's, without those that are to be left alone."""
        names = super().get_decay_parameter_names(model)  # type: ignore[misc]
        return [name for name in names if name not in self.undecayed]

    def get_train_dataloader(self) -> Any:
        """The data loader of training."""
        if self.batch_sampler is None:
            return super().get_train_dataloader()  # type: ignore[misc]
        arguments = self.args  # type: ignore[attr-defined]
        loader = DataLoader(
            self.train_dataset,  # type: ignore[attr-defined]
            batch_sampler=self.batch_sampler,  # type: ignore[arg-type]
            collate_fn=self.data_collator,  # type: ignore[attr-defined]
            num_workers=arguments.dataloader_num_workers,
            pin_memory=arguments.dataloader_pin_memory,
            persistent_workers=arguments.dataloader_persistent_workers,
            prefetch_factor=arguments.dataloader_prefetch_factor,
        )
        return self.accelerator.prepare(loader)  # type: ignore[attr-defined]

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """The data loader of an evaluation."""
        with every_row(self.args):  # type: ignore[attr-defined]
            chosen = self.eval_dataset if eval_dataset is None else eval_dataset  # type: ignore[attr-defined]
            return super().get_eval_dataloader(by_length(chosen))  # type: ignore[misc]

    def get_test_dataloader(self, test_dataset: Any) -> Any:
        """The data loader of `predict`."""
        with every_row(self.args):  # type: ignore[attr-defined]
            return super().get_test_dataloader(by_length(test_dataset))  # type: ignore[misc]

    def evaluation_loop(self, dataloader: Any, *args: Any, **kwargs: Any) -> Any:
        """The Trainer's, with predictions, labels and what `compute_metrics` gets in the data set's own order."""
        rows = dataloader.dataset
        if not isinstance(rows, SortedRows):
            return super().evaluation_loop(dataloader, *args, **kwargs)  # type: ignore[misc]
        compute_metrics = self.compute_metrics  # type: ignore[has-type]

        def restored(prediction: Any) -> dict[str, float]:
            prediction.predictions = rows.restore(prediction.predictions)
            prediction.label_ids = rows.restore(prediction.label_ids)
            return self.metrics_of(compute_metrics, prediction, rows.dataset)

        self.compute_metrics = None if compute_metrics is None else restored
        self.gather_function = self.accelerator.gather_for_metrics  # type: ignore[attr-defined]
        try:
            output = super().evaluation_loop(dataloader, *args, **kwargs)  # type: ignore[misc]
        finally:
            self.compute_metrics = compute_metrics
        if output.predictions is None:
            return output
        return output._replace(predictions=rows.restore(output.predictions), label_ids=rows.restore(output.label_ids))

    def metrics_of(self, compute_metrics: Any, prediction: Any, dataset: Any) -> dict[str, float]:
        """What the task's hook says of predictions for a data set."""
        return compute_metrics(prediction)

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """The Trainer's, but not of the second names of tied weights, which no file holds."""
        tied = getattr(self.model, "all_tied_weights_keys", {})  # type: ignore[attr-defined]
        load_result.missing_keys[:] = [name for name in load_result.missing_keys if name not in tied]
        super()._issue_warnings_after_load(load_result)  # type: ignore[misc]


def by_length(dataset: Any) -> Dataset:
    """The data set sorted by length, if its rows have lengths: padding is short, and generation ends together."""
    return SortedRows(dataset) if hasattr(dataset, "lengths") else dataset


class GenerationMixin(EveryRowMixin):
    """What a Seq2SeqTrainer lacks: exact losses, a smaller sample to generate for, and no settings that stay behind.

    Predictions are (generated tokens, summed loss of each row), or (summed loss of each row,) without
    `predict_with_generate`; the loss of an evaluation is the mean over tokens, without label smoothing. The task's
    `compute_metrics` gets the data set as its second argument.
    """

    # Given to a model that smooths its own loss: it need not hold all logits for that, as the Trainer's smoother must.
    label_smoothing = 0.0
    # Of some training rows: `rows(inputs)`, `(inputs) -> said`, `loss(logits, said, labels)`.
    teacher: Any = None
    # Rows that evaluations during training generate for; 0: all.
    generation_samples = 0
    generating = True

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The Trainer's, with the model's own smoothing in training; a teacher's rows are learned from the teacher."""
        if self.teacher is not None and model.training and not return_outputs:
            return self.loss_with_teacher(model, inputs, num_items_in_batch)
        smooth = {"label_smoothing": self.label_smoothing} if self.label_smoothing else {}
        return super().compute_loss(model, {**inputs, **smooth}, return_outputs, num_items_in_batch)  # type: ignore[misc]

    def loss_with_teacher(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        """The loss of a batch of which a teacher answers for some rows.

        The model runs once, whatever the rows are: processes that ran it a different number of times would wait for
        each other for ever.
        """
        rows = self.teacher.rows(inputs)
        said = self.teacher({name: value[rows] for name, value in inputs.items()}) if rows.any() else None
        total = (inputs["labels"] != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch

        def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any) -> torch.Tensor:
            logits, smoothing = outputs.logits.float(), self.label_smoothing
            others = logits[~rows].flatten(0, 1), labels[~rows].flatten()
            summed = cross_entropy(*others, ignore_index=IGNORED, label_smoothing=smoothing, reduction="sum")
            if said is not None:
                summed = summed + self.teacher.loss(logits[rows], said, labels[rows])
            return summed / num_items_in_batch

        # By the Trainer's own hook, so that it scales this loss as it does every other.
        self.compute_loss_func: Any = loss
        try:
            return super().compute_loss(model, dict(inputs), num_items_in_batch=total)  # type: ignore[misc]
        finally:
            self.compute_loss_func = None

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None, **kwargs: Any
    ) -> tuple[Any, Any, Any]:
        """(mean loss, predictions, labels) of a batch."""
        inputs = self._prepare_inputs(inputs)  # type: ignore[attr-defined]
        labels = inputs.pop("labels")
        with torch.no_grad(), self.compute_loss_context_manager():  # type: ignore[attr-defined]
            logits = model(**inputs).logits
            losses = cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), reduction="none")
        losses = losses.view(labels.shape).sum(1)
        mean = losses.sum() / (labels != IGNORED).sum().clamp(min=1)
        if not (self.args.predict_with_generate and self.generating):  # type: ignore[attr-defined]
            return mean, (losses,), labels
        settings = {**getattr(self, "_gen_kwargs", {}), **kwargs}
        settings = {name: value for name, value in settings.items() if value is not None}
        # Processes that share one model's weights go on until the last one's rows are done.
        settings["synced_gpus"] = is_deepspeed_zero3_enabled() or is_fsdp_managed_module(self.model)  # type: ignore[attr-defined]
        given = {name: value for name, value in inputs.items() if not name.startswith("decoder_")}
        with torch.no_grad():
            tokens = self.model.generate(**given, **settings)  # type: ignore[attr-defined]
        return mean, (tokens, losses), labels

    def evaluation_loop(self, dataloader: Any, description: str, *args: Any, **kwargs: Any) -> Any:
        """The Trainer's, with the exact loss; during training the metrics may be of a sample."""
        rows, sample = dataloader.dataset, self.generation_samples
        split = self.is_in_train and 0 < sample < len(rows)  # type: ignore[attr-defined]
        if not (split and self.args.predict_with_generate and hasattr(rows.dataset, "take")):  # type: ignore[attr-defined]
            return exact_loss(super().evaluation_loop(dataloader, description, *args, **kwargs), kwargs)
        compute_metrics, self.compute_metrics = self.compute_metrics, None
        self.generating = False
        try:
            whole = exact_loss(super().evaluation_loop(dataloader, description, *args, **kwargs), kwargs)
        finally:
            self.generating, self.compute_metrics = True, compute_metrics
        part_loader = self.get_eval_dataloader(rows.dataset.take(sample))
        part = super().evaluation_loop(part_loader, description, *args, **kwargs)
        return part._replace(metrics={**part.metrics, **whole.metrics}, num_samples=whole.num_samples)

    def metrics_of(self, compute_metrics: Any, prediction: Any, dataset: Any) -> dict[str, float]:
        """What the task's hook says of predictions for a data set."""
        return compute_metrics(prediction, dataset)


def exact_loss(output: Any, kwargs: dict[str, Any]) -> Any:
    """The loop's output with the loss by token: the Trainer's is a mean over batches of different length."""
    losses, labels = output.predictions[-1], output.label_ids
    name = f"{kwargs.get('metric_key_prefix', 'eval')}_loss"
    return output._replace(metrics={**output.metrics, name: float(losses.sum() / max((labels != IGNORED).sum(), 1))})


def zoo_trainer(trainer_class: type[Trainer]) -> type[Trainer]:
    """The Trainer class of a task with the library's changes."""
    mixin = GenerationMixin if issubclass(trainer_class, Seq2SeqTrainer) else EveryRowMixin
    return type(f"Zoo{trainer_class.__name__}", (mixin, trainer_class), {})


def in_full_precision(trainer: Trainer) -> None:
    """From now on the model computes in the precision of its weights, as it does for those who load them.

    accelerate leaves bfloat16's autocast around the model's forward after training. Its own way to take it off
    (`unwrap_model(keep_fp32_wrapper=False)`) goes on through the decorators of the model's forward itself, which then
    no longer knows `return_dict`.
    """
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        return
    trainer.accelerator.native_amp = False
    model = trainer.accelerator.unwrap_model(trainer.model)
    if "_original_forward" in vars(model):
        model.forward = vars(model).pop("_original_forward")


@contextmanager
def final_settings(trainer: Trainer) -> Iterator[None]:
    """Within it, a model that generates does so by its own generation settings, not by those of training."""
    settings = {"predict_with_generate": True, "generation_num_beams": None, "generation_max_length": None}
    kept = {name: getattr(trainer.args, name) for name in settings if hasattr(trainer.args, name)}
    try:
        for name in kept:
            setattr(trainer.args, name, settings[name])
        yield
    finally:
        for name, value in kept.items():
            setattr(trainer.args, name, value)


__all__ = ["EveryRowMixin", "GenerationMixin", "final_settings", "in_full_precision", "zoo_trainer"]
