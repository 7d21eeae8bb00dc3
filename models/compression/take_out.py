"""Takes layers and heads out of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tokenizers import Tokenizer
from torch import nn

from models.attention import PRUNED, heads_of, layers, pruned_heads, remove_heads
from models.compression.heads import importance, least
from models.compression.policy import Policy
from models.evaluation.answers import Progress
from models.network import MultiTaskNetwork
from models.training.batches import tokenise
from models.training.config import Config
from models.training.examples import Example
from models.training.learner import Learner, sources_of


def take_out(
    network: MultiTaskNetwork,
    policy: Policy,
    *,
    config: Config,
    tokenizer: Tokenizer,
    examples: Sequence[Example],
    report: Callable[[str], None],
    progress: Progress,
) -> None:
    """Drop the layers and then prune the heads that `policy` says, by what the heads matter to the loss on `examples`.

    Raises InvalidInput when there are not so many, and PermanentError for an architecture that is not known.
    """
    encoder = network.encoder
    count = len(layers(encoder))
    kept = policy.kept_layers(count)
    if len(kept) < count:
        keep_layers(encoder, kept)
        report(f"layers {', '.join(map(str, kept))} of {count} stay")
    if policy.prune_heads:
        sources = sources_of(config.tasks, config.files)
        tokenizer.enable_truncation(config.max_tokens)
        values = importance(
            Learner(network, config.tasks, sources=sources, class_weights={}),
            tokenise(tokenizer, examples),
            padding_id=encoder.config.pad_token_id or 0,
            sources=sources,
            progress=lambda done, total: progress("weighing heads", done, total),
        )
        remove_heads(encoder, least(values, policy.prune_heads))
        report(f"heads left by layer: {', '.join(map(str, heads_of(encoder)))}")


def keep_layers(encoder: Any, kept: Sequence[int]) -> None:
    """Take out every layer but those in `kept`, ascending numbers from 0."""
    all_layers, pruned = layers(encoder), pruned_heads(encoder.config)
    encoder.encoder.layer = nn.ModuleList(all_layers[number] for number in kept)
    encoder.config.num_hidden_layers = len(kept)
    if pruned:
        renumbered = {place: pruned[number] for place, number in enumerate(kept) if number in pruned}
        setattr(encoder.config, PRUNED, renumbered)
