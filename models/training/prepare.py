"""Makes a run ready: data, network, and the checks that come before any training."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import nn

from domain.errors import InvalidInput, PermanentError
from models.folder import ADAPTER_FILES, HEADS_FILE, SETTINGS_FILE, Kind, read_settings
from models.load import load_tokenizer
from models.network import MultiTaskNetwork, from_encoder
from models.training.config import Config
from models.training.encoders import encoder_folder
from models.training.examples import Corpus, Example, places, read_corpus
from models.training.methods import prepare as prepare_method
from models.training.methods import trainable
from models.training.rates import check_layers


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a run starts with."""

    encoder: Path
    tokenizer: Tokenizer
    network: MultiTaskNetwork
    corpus: Corpus

    @property
    def padding_id(self) -> int:
        """What fills the shorter texts of a batch."""
        return self.network.encoder.config.pad_token_id or 0


def prepare(config: Config, data_dir: Path) -> Prepared:
    """Read the data and build the network.

    Raises InvalidInput or PermanentError, naming the option, the file and line, or the library, for everything that
    would stop training later.
    """
    for library in config.report_to:
        if importlib.util.find_spec(library) is None:
            raise PermanentError(f"report_to: {library} is not installed: pip install {library}")
    folder = encoder_folder(config.encoder, revision=config.revision)
    corpus = read_corpus(config, data_dir)
    if not corpus.held_out and (config.keep_best or config.early_stopping is not None):
        raise InvalidInput("training_config", "early_stopping and keep_best need held-out texts: set held_out.share")
    torch.manual_seed(config.seed)
    network = _network(config, folder)
    prepare_method(network, config.method)
    check_layers(network.encoder, config.optimiser)
    return Prepared(encoder=folder, tokenizer=load_tokenizer(folder), network=network, corpus=corpus)


def describe(config: Config, prepared: Prepared) -> Iterator[str]:
    """What will be learnt from what, a line each."""
    corpus = prepared.corpus
    for figures in corpus.files:
        left_out = ", ".join(
            f"{count} left out ({reason.replace('_', ' ')})" for reason, count in figures.left_out.items()
        )
        yield f"{figures.source}: {figures.rows} rows for {figures.task}" + (f", {left_out}" if left_out else "")
    for task, policy in config.tasks.items():
        learnt, measured = (_counts(examples, task, policy.kind) for examples in (corpus.training, corpus.held_out))
        yield f"{task}: " + ", ".join(
            f"{label} {learnt[number]} (+{measured[number]} held out)" for number, label in enumerate(policy.labels)
        )
    texts = f"{len(corpus.training)} texts to train on, {len(corpus.held_out)} held out"
    texts += f", {len(corpus.unlabelled)} unlabelled" if corpus.unlabelled else ""
    yield texts + (f", {len(corpus.out_of_fold)} in fold {config.held_out.fold}" if corpus.out_of_fold else "")
    few, all_ = trainable(prepared.network)
    yield f"{few:,} of {all_:,} weights learn ({config.method.name})"


def _network(config: Config, folder: Path) -> MultiTaskNetwork:
    _check_tasks(config)
    tasks = {task: policy.labels for task, policy in config.tasks.items()}
    kinds = {task: policy.kind for task, policy in config.tasks.items()}
    try:
        network = from_encoder(folder, tasks, kinds=kinds, pooling=config.pooling)
        _take_over_heads(network, folder, config)
        _try(network, 8)
    except (
        OSError,
        RuntimeError,
        IndexError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        SafetensorError,
    ) as error:
        why = " ".join(str(error).split())[:200]
        raise PermanentError(f"{config.encoder} is no encoder that can be fine-tuned here: {why}") from error
    longest = max(config.window_tokens, config.max_tokens)
    try:
        _try(network, longest)
    except (RuntimeError, IndexError) as error:
        raise InvalidInput(
            "training_config", f"window_tokens, max_tokens: {config.encoder} reads fewer than {longest} tokens at once"
        ) from error
    return network


def _check_tasks(config: Config) -> None:
    # Heads and biases are attributes of torch's own mappings, which have others already.
    for task, policy in config.tasks.items():
        if hasattr(nn.ModuleDict(), task) or (policy.source_bias and hasattr(nn.ParameterDict(), task)):
            raise InvalidInput("training_config", f"tasks.{task}: torch uses this name itself; choose another one")


def _take_over_heads(network: MultiTaskNetwork, folder: Path, config: Config) -> None:
    """Where the encoder is that of a model folder of ours: its heads, of tasks of the same kind and labels."""
    if not (folder / SETTINGS_FILE).exists() or not (folder / HEADS_FILE).exists():
        return
    settings, weights = read_settings(folder), load_file(folder / HEADS_FILE)
    if ADAPTER_FILES[0] in settings.files:
        raise PermanentError(f"{folder} has learnt prefixes, which can't be gone on with: give the encoder it is from")
    for task, policy in config.tasks.items():
        if settings.tasks.get(task) == policy.labels and settings.kinds.get(task, Kind.SINGLE) is policy.kind:
            head = {name.removeprefix(f"{task}."): one for name, one in weights.items() if name.startswith(f"{task}.")}
            network.heads[task].load_state_dict(head)


def _try(network: MultiTaskNetwork, tokens: int) -> None:
    # Not the padding: RoBERTa gives that no position, and would read any number of it.
    word = 1 if network.encoder.config.pad_token_id != 1 else 2
    ids = torch.full((1, tokens), word, dtype=torch.int64)
    with torch.no_grad():
        network(ids, torch.ones_like(ids))


def _counts(examples: Sequence[Example], task: str, kind: Kind) -> Counter[int]:
    """Place of a label → how many texts (or names) have it."""
    targets = [label.target for example in examples for label in example.labels if label.task == task]
    return Counter(place for target in targets for place in places(target, kind))
