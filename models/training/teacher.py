"""One teacher: a model folder, asked about texts once, its answers kept on disk."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from domain.errors import InvalidInput, PermanentError
from models.folder import Kind, ModelSettings, read_settings
from models.load import load_tokenizer
from models.network import MultiTaskNetwork, load_network
from models.normalise import input_hash
from models.scores import probabilities
from models.training.batches import collate, tokenise
from models.training.examples import Example, Label
from models.training.hooks import Report
from models.training.learner import picked
from models.training.policies import Task

CHUNK = 1024
"""Texts that are answered between two writes to disk."""
BATCH = 64
"""Texts in one pass."""

Answer = NDArray[np.float32]


class Teacher:
    """A model folder, and what it has said of texts and of names in them. Its answers are kept under `cache` by its
    version (those in bf16 apart) and the text's hash.

    Raises InvalidInput when it knows none of `tasks`, or one of them by other labels; PermanentError when the folder is
    no finished model folder or a file of the cache is damaged.
    """

    def __init__(self, folder: Path, tasks: Mapping[str, Task], *, cache: Path, bf16: bool = False) -> None:
        self.folder = folder
        self._settings = read_settings(folder)
        if not self._settings.files:
            raise PermanentError(f"{folder} is not sealed: its training did not end; train it to the end first")
        self._bf16 = bf16
        self._columns = _columns(folder, self._settings, tasks)
        place = cache / f"{self._settings.ref.version}{'-bf16' if bf16 else ''}"
        self._tables = {task: _Table(place / str(number)) for number, task in enumerate(self._settings.tasks)}

    def says(self, text: str, task: str, entity: str | None = None) -> Answer | None:
        """Probabilities of the task's labels in the order of `tasks`, as the teacher would serve them; None where it
        was not asked, does not know the task or did not read as far as the name."""
        if task not in self._columns:
            return None
        answer = self._tables[task].get(_key(text, entity))
        return None if answer is None or np.isnan(answer).any() else answer[self._columns[task]]

    def ask(self, texts: Mapping[str, Sequence[str]], *, device: str, report: Report = print) -> None:
        """Answer for each text and the names in it (all normalised), unless the answers are there already. Only the
        first window of a long text is read."""
        pending = [text for text, names in texts.items() if not self._knows(text, names)]
        report(f"{self.folder.name}: {len(texts) - len(pending)} of {len(texts)} texts were answered before")
        if not pending:
            return
        tokenizer = load_tokenizer(self.folder)
        tokenizer.enable_truncation(self._settings.window_tokens)
        network = load_network(self.folder, self._settings).to(device)
        # The longest first: what is left only gets faster than foreseen.
        pending.sort(key=len, reverse=True)
        started = time.monotonic()
        for start in range(0, len(pending), CHUNK):
            chunk = pending[start : start + CHUNK]
            self._answer(network, tokenizer, {text: texts[text] for text in chunk})
            done = start + len(chunk)
            left = (time.monotonic() - started) / done * (len(pending) - done)
            report(f"{self.folder.name}: {done}/{len(pending)} texts answered, at most {left:.0f} s to go")

    def _kind(self, task: str) -> Kind:
        return self._settings.kinds.get(task, Kind.SINGLE)

    def _knows(self, text: str, names: Sequence[str]) -> bool:
        return all(
            _key(text, name) in table
            for task, table in self._tables.items()
            for name in (names if self._kind(task) is Kind.ENTITY else (None,))
        )

    @torch.inference_mode()
    def _answer(self, network: MultiTaskNetwork, tokenizer: Tokenizer, texts: Mapping[str, Sequence[str]]) -> None:
        device = next(network.parameters()).device
        examples = [Example(text=text, labels=self._questions(names)) for text, names in texts.items()]
        # What a name's tokens were cut off with has no answer: kept as such, or it would be asked about each time.
        answers: dict[str, dict[bytes, Answer]] = {
            task: {
                _key(example.text, label.entity): np.full(len(labels), np.nan, dtype=np.float32)
                for example in examples
                for label in example.labels
                if label.task == task
            }
            for task, labels in self._settings.tasks.items()
        }
        tokenised = tokenise(tokenizer, examples)
        for start in range(0, len(examples), BATCH):
            batch = tokenised[start : start + BATCH]
            read = collate(batch, padding_id=network.encoder.config.pad_token_id or 0, sources={})
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self._bf16):
                logits = network(read["input_ids"].to(device), read["attention_mask"].to(device))
            for task, marks in read["labels"].items():
                keys = [
                    _key(example.text, mark.label.entity)
                    for example, one in zip(examples[start : start + BATCH], batch, strict=True)
                    for mark in one.labels
                    if mark.label.task == task
                ]
                answers[task].update(
                    zip(keys, self._probabilities(task, picked(logits[task].cpu(), marks)), strict=True)
                )
        for task, of_task in answers.items():
            self._tables[task].add(of_task)

    def _questions(self, names: Sequence[str]) -> tuple[Label, ...]:
        """One for each task, or for each name: labels of which only the place matters."""
        return tuple(
            Label(task=task, source="", target=(), entity=name)
            for task in self._settings.tasks
            for name in (names if self._kind(task) is Kind.ENTITY else (None,))
        )

    def _probabilities(self, task: str, logits: torch.Tensor) -> Answer:
        temperature = self._settings.temperatures.get(task, 1.0)
        shares = probabilities(logits.numpy(), kind=self._kind(task), temperature=temperature)
        return shares.astype(np.float32)


class _Table:
    """Answers by key, in files that are added whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._answers: dict[bytes, Answer] = {}
        for file in sorted(folder.glob("*.npz")):
            try:
                with np.load(file, allow_pickle=False) as arrays:
                    keys, answers = arrays["keys"], arrays["answers"]
            except (OSError, ValueError, KeyError, BadZipFile) as error:
                raise PermanentError(
                    f"{file} is damaged ({error}); remove it, its texts are asked about again"
                ) from error
            self._answers.update(zip(map(bytes, keys), answers, strict=True))

    def __contains__(self, key: bytes) -> bool:
        return key in self._answers

    def get(self, key: bytes) -> Answer | None:
        """The answer, shape (labels,)."""
        return self._answers.get(key)

    def add(self, answers: Mapping[bytes, Answer]) -> None:
        """Keep answers, also on disk."""
        if not answers:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        keys = np.frombuffer(b"".join(answers), dtype=np.uint8).reshape(len(answers), -1)
        # Named by what is in it: two processes that answer the same write the same.
        name = hashlib.blake2b(keys.tobytes(), digest_size=8).hexdigest()
        part = self._folder / f".{name}.{os.getpid()}"
        with part.open("wb") as file:
            np.savez(file, keys=keys, answers=np.stack(list(answers.values())))
        part.replace(self._folder / f"{name}.npz")
        self._answers.update(answers)


def _columns(folder: Path, settings: ModelSettings, tasks: Mapping[str, Task]) -> dict[str, list[int]]:
    """Task → where its labels stand in the teacher's answers, in the order of `tasks`."""
    common = [task for task in tasks if task in settings.tasks]
    if not common:
        raise InvalidInput(
            "training_config", f"the teacher {folder} knows none of the tasks; it has {', '.join(settings.tasks)}"
        )
    for task in common:
        ours, theirs = tasks[task], settings.tasks[task]
        kind = settings.kinds.get(task, Kind.SINGLE)
        if set(theirs) != set(ours.labels) or kind is not ours.kind:
            raise InvalidInput(
                "training_config",
                f"the teacher {folder} has other labels of {task!r} ({kind}: {', '.join(theirs)}) than the "
                f"configuration ({ours.kind}: {', '.join(ours.labels)})",
            )
    return {task: [settings.tasks[task].index(label) for label in tasks[task].labels] for task in common}


def _key(text: str, name: str | None = None) -> bytes:
    """16 bytes. A normalised text has no line break."""
    return bytes.fromhex(input_hash(text if name is None else f"{text}\n{name}"))
