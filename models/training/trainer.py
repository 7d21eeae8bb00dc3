"""The Hugging Face Trainer, with our batches, rates, averages and measure."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from domain.errors import PermanentError
from models.training.averages import Averages, Weights, load, snapshot
from models.training.batches import BatchOrder, Tokenised, TrainingSet, collate
from models.training.checkpoints import Checkpoints, Course, read_averages, read_best, read_course
from models.training.config import Config
from models.training.hooks import Attack, Report, Watch
from models.training.learner import Learner
from models.training.measure import Measured, measure, score
from models.training.policies import Schedule
from models.training.rates import adamw

SCHEDULES = {
    Schedule.LINEAR: "linear",
    Schedule.COSINE: "cosine",
    Schedule.CONSTANT: "constant_with_warmup",
}
"""Ours → the Trainer's names."""


class Diverged(PermanentError):
    """The loss is no number any more."""


class MultiTaskTrainer(Trainer):  # type: ignore[misc]
    """Trains a `Learner`; the averaged weights are what is measured, kept as the best, and left in it at the end."""

    def __init__(
        self,
        learner: Learner,
        config: Config,
        *,
        training_set: TrainingSet,
        order: BatchOrder,
        held_out: Sequence[Tokenised],
        sources: Mapping[str, Sequence[str]],
        padding_id: int,
        checkpoints: Checkpoints,
        use_cpu: bool,
        report: Report,
        attack: Attack | None = None,
        watch: Watch | None = None,
    ) -> None:
        super().__init__(
            learner,
            _arguments(config, checkpoints.folder, draws=len(order), use_cpu=use_cpu, measured=bool(held_out)),
            data_collator=partial(collate, padding_id=padding_id, sources=sources),
            train_dataset=training_set,
            eval_dataset=held_out,
            optimizers=(adamw(learner, config.optimiser), None),
        )
        # One process drives one GPU: splitting a batch over several in threads would part labels from their texts.
        self.args._n_gpu = min(self.args.n_gpu, 1)
        self.model_accepts_loss_kwargs = False
        self.control: TrainerControl
        self.course = Course()
        self._config = config
        self._order = order
        self._held_out = held_out
        self._padding_id = padding_id
        self._checkpoints = checkpoints
        self.report = report
        self._attack = attack
        self._watch = watch
        self._averages = Averages(config.averaging)
        self._best: Weights | None = None
        self.remove_callback(PrinterCallback)
        self.add_callback(_Flow(self))

    def run(self, checkpoint: Path | None) -> None:
        """Train to the end, from a whole checkpoint or from the start."""
        if checkpoint is not None:
            self.course = read_course(checkpoint)
            self._averages.restore(read_averages(checkpoint), self.args.device)
            self._best = read_best(checkpoint)
        if checkpoint is not None and self.course.finished:
            self._load_from_checkpoint(str(checkpoint))
        else:
            self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if self._best is not None:
            load(self.model, self._best)
        else:
            self._averages.keep(self.model)

    def get_train_dataloader(self) -> DataLoader[Tokenised]:
        loader = DataLoader(
            self.train_dataset,
            batch_size=self._config.batch_size,
            sampler=self._order,
            collate_fn=self.data_collator,
            pin_memory=self.args.device.type == "cuda",
        )
        prepared: DataLoader[Tokenised] = self.accelerator.prepare(loader)
        return prepared

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        def backward() -> Tensor:
            loss: Tensor = super(MultiTaskTrainer, self).training_step(model, inputs, num_items_in_batch)
            return loss

        return backward() if self._attack is None else self._attack(self.model, backward)

    def evaluate(self, *_arguments: Any, **_options: Any) -> dict[str, float]:
        """Measure the averaged weights on what is held out; keep them if they are the best so far, and end training
        when they have not been for long."""
        with self._averages.applied(self.model):
            measured = self.accuracy()
            reached = score(measured)
            better = self.course.best is None or reached > self.course.best
            if better:
                self.course.best, self.course.epochs_since_best = reached, 0
                if self._config.keep_best or self._config.early_stopping is not None:
                    self._best = snapshot(self.model)
            else:
                self.course.epochs_since_best += 1
        patience = self._config.early_stopping
        if patience is not None and self.course.epochs_since_best >= patience:
            self.control.should_training_stop = True
        figures = {f"{task}/{source}": one.share for task, by in measured.items() for source, one in by.items()}
        self.course.epochs.append({name: round(share, 4) for name, share in figures.items()})
        parts = ", ".join(f"{name} {share:.4f}" for name, share in figures.items()) or "not measured"
        self.report(f"epoch {self.state.epoch:g}/{self._config.epochs}: held-out accuracy {parts}")
        metrics = {f"eval_{name}": share for name, share in figures.items()} | {"eval_score": reached}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        if self._watch is not None:
            self._watch(math.ceil(self.state.epoch), reached)
        return metrics

    def accuracy(self) -> Measured:
        """Of the weights as they are, on what is held out."""
        return measure(
            self.model.network,
            self._held_out,
            self._config.tasks,
            padding_id=self._padding_id,
            bf16=self._config.bf16,
        )

    def after_step(self, state: TrainerState, control: TrainerControl) -> None:
        """An optimiser's step was taken."""
        self._averages.after_step(self.model)
        every = self._config.checkpoint_steps
        # Not where an epoch's own checkpoint follows, after its figures are known.
        ends = state.epoch == int(state.epoch) or state.global_step >= state.max_steps
        if every is not None and state.global_step % every == 0 and not ends:
            control.should_save = True

    def after_epoch(self, control: TrainerControl) -> None:
        """An epoch ended, or training within it; its loss, its figures and its checkpoint follow."""
        self._averages.after_epoch(self.model)
        # However seldom the loss is shown otherwise: what has diverged must not be kept.
        control.should_log = True
        control.should_save = True

    def after_save(self, state: TrainerState, control: TrainerControl, seconds: float) -> None:
        """The Trainer has written a checkpoint."""
        self.course.finished = control.should_training_stop or state.global_step >= state.max_steps
        self.course.steps = state.global_step
        self.course.seconds += seconds
        self._checkpoints.complete(state.global_step, self.course, self._averages.state(), self._best)


class _Flow(TrainerCallback):  # type: ignore[misc]
    """Tells the trainer what happens, and reports progress."""

    def __init__(self, trainer: MultiTaskTrainer) -> None:
        self._trainer = trainer
        self._started = self._saved = time.monotonic()
        self._first_step = 0

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._started = self._saved = time.monotonic()
        self._first_step = state.global_step
        if state.global_step:
            self._trainer.report(f"going on after step {state.global_step}/{state.max_steps}")

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._trainer.after_step(state, control)

    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._trainer.after_epoch(control)

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        now = time.monotonic()
        self._trainer.after_save(state, control, now - self._saved)
        self._saved = now

    def on_log(
        self, args: Any, state: TrainerState, control: TrainerControl, logs: Mapping[str, float], **_: Any
    ) -> None:
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise Diverged(f"the loss is no number any more at step {state.global_step}: lower optimiser.learning_rate")
        seconds = (time.monotonic() - self._started) / (state.global_step - self._first_step)
        self._trainer.report(
            f"epoch {state.epoch:.2f} step {state.global_step}/{state.max_steps} loss {logs['loss']:.4f} "
            f"{seconds:.3f} s/step, {(state.max_steps - state.global_step) * seconds:.0f} s to go"
        )


def _arguments(config: Config, folder: Path, *, draws: int, use_cpu: bool, measured: bool) -> TrainingArguments:
    steps = config.epochs * math.ceil(draws / (config.batch_size * config.accumulate))
    return TrainingArguments(
        output_dir=str(folder),
        run_name=config.name,
        num_train_epochs=config.epochs,
        # Not where they are more than the epochs have: the Trainer would add epochs.
        max_steps=config.max_steps if config.max_steps is not None and config.max_steps < steps else -1,
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulate,
        learning_rate=config.optimiser.learning_rate,
        lr_scheduler_type=SCHEDULES[config.optimiser.schedule],
        warmup_steps=config.optimiser.warm_up,
        max_grad_norm=config.optimiser.max_grad_norm,
        bf16=config.bf16,
        use_cpu=use_cpu,
        seed=config.seed,
        eval_strategy="epoch" if measured else "no",
        save_strategy="no",  # `_Flow` asks for checkpoints, so that one is never written before its figures are known
        logging_steps=config.log_steps,
        logging_nan_inf_filter=False,
        report_to=[str(one) for one in config.report_to],
        remove_unused_columns=False,
        disable_tqdm=True,
        log_level="error",
    )
