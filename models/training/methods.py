"""Which weights are learnt: all, the heads, or few beside the encoder's through PEFT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from domain.errors import InvalidInput, PermanentError
from models.network import MultiTaskNetwork
from models.training.policies import Method, MethodName

MERGED = (MethodName.LORA, MethodName.IA3)
PROBE_TOKENS = 6


def prepare(network: MultiTaskNetwork, method: Method) -> None:
    """Freeze what `method` doesn't learn and add what it does.

    Raises InvalidInput, before any training, when the encoder's family can't be trained so or has no weight of the
    names to freeze, and PermanentError when a library is missing.
    """
    _freeze(network, method)
    _PREPARE[method.name](network, method)


def finish(network: MultiTaskNetwork, method: Method) -> None:
    """Merge what was added into the encoder's own weights, where that is possible: all but prefixes."""
    if method.name in MERGED:
        network.encoder = network.encoder.merge_and_unload()


def _freeze(network: MultiTaskNetwork, method: Method) -> None:
    weights = dict(network.encoder.named_parameters())
    for part in method.frozen:
        found = [weight for name, weight in weights.items() if part in name]
        if not found:
            some = ", ".join(list(weights)[:3])
            raise InvalidInput(
                "training_config", f"method.frozen: this encoder has no weight with {part!r} in its name (but {some} …)"
            )
        for weight in found:
            weight.requires_grad_(False)


def _full(network: MultiTaskNetwork, method: Method) -> None:
    pass


def _head(network: MultiTaskNetwork, method: Method) -> None:
    network.encoder.requires_grad_(False)


def _lora(network: MultiTaskNetwork, method: Method) -> None:
    peft = _peft()
    options: dict[str, Any] = {"target_modules": list(method.target_modules)} if method.target_modules else {}
    _wrap(
        network,
        method,
        lambda: peft.LoraConfig(
            task_type=peft.TaskType.FEATURE_EXTRACTION,
            r=method.rank,
            lora_alpha=method.alpha,
            lora_dropout=method.dropout,
            **options,
        ),
    )


def _ia3(network: MultiTaskNetwork, method: Method) -> None:
    peft = _peft()
    options: dict[str, Any] = {}
    if method.target_modules:
        # Layers whose input is scaled rather than their output: the second of a feed-forward pair.
        feedforward = [name for name in method.target_modules if name.endswith("output.dense")]
        options = {"target_modules": list(method.target_modules), "feedforward_modules": feedforward}
    _wrap(network, method, lambda: peft.IA3Config(task_type=peft.TaskType.FEATURE_EXTRACTION, **options))


def _prefix(network: MultiTaskNetwork, method: Method) -> None:
    peft = _peft()
    before = _probe(network)
    _wrap(
        network,
        method,
        lambda: peft.PrefixTuningConfig(
            task_type=peft.TaskType.FEATURE_EXTRACTION, num_virtual_tokens=method.prefix_tokens
        ),
    )
    try:
        after = _probe(network)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise _unsupported(network, method, str(error)) from error
    # Some families take keys and values from before the text and don't look at them.
    if all(torch.allclose(before[task], after[task]) for task in before):
        raise _unsupported(network, method, "it does not read the prefixes")


def _adapter(network: MultiTaskNetwork, method: Method) -> None:
    raise InvalidInput(
        "training_config",
        "method.name: bottleneck adapters need the library `adapters`, which pins transformers below 4.58 and cannot "
        "be installed beside the transformers 5 that this project trains with; use lora or ia3",
    )


_PREPARE: Mapping[MethodName, Callable[[MultiTaskNetwork, Method], None]] = {
    MethodName.FULL: _full,
    MethodName.HEAD: _head,
    MethodName.LORA: _lora,
    MethodName.IA3: _ia3,
    MethodName.PREFIX: _prefix,
    MethodName.ADAPTER: _adapter,
}


def _wrap(network: MultiTaskNetwork, method: Method, config: Callable[[], Any]) -> None:
    try:
        network.encoder = _peft().get_peft_model(network.encoder, config())
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise _unsupported(network, method, str(error)) from error


def _unsupported(network: MultiTaskNetwork, method: Method, why: str) -> InvalidInput:
    family = network.encoder.config.model_type
    fix = " (name its layers in method.target_modules)" if method.name in MERGED else ""
    return InvalidInput(
        "training_config", f"method.name: {method.name} does not work with encoders of type {family}: {why}{fix}"
    )


def _probe(network: MultiTaskNetwork) -> dict[str, torch.Tensor]:
    training = network.training
    network.eval()
    ids = torch.arange(1, 1 + PROBE_TOKENS).unsqueeze(0)
    with torch.no_grad():
        out = network(ids, torch.ones_like(ids))
    network.train(training)
    return dict(out)


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise PermanentError("this method needs the library peft: pip install 'groundswell[train]'") from error
    return peft


def trainable(module: nn.Module) -> tuple[int, int]:
    """How many weights learn, and how many there are."""
    counts = [(weight.numel(), weight.requires_grad) for weight in module.parameters()]
    return sum(count for count, learns in counts if learns), sum(count for count, _ in counts)
