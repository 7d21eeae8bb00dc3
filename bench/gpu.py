"""How much of a GPU the classifier uses: a BERT-base with random weights at the lengths of real headlines.

    python -m bench.gpu                  # 100,000 texts; needs torch and transformers, nothing else
    python -m bench.gpu --texts 20000

Prints one table, all of one run. Without a GPU it says so and checks the same code on the processor, in miniature.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, pipeline
from transformers.utils import logging

from models.batches import Batch, pack
from models.classifier import TextClassifier
from models.folder import Kind, ModelSettings, Pooling
from models.load import DEFAULT_MODEL, SHIPPED, load_tokenizer
from models.network import MultiTaskNetwork
from models.normalise import VERSION
from models.packed import PackedNetwork
from models.packed_backend import BUDGETS, PackedBackend

LENGTHS = (6, 10, 11, 12, 13, 13, 14, 14, 15, 15, 16, 17, 17, 18, 18, 19, 20, 21, 22, 24, 38)
"""Tokens, with the two special ones, of the headlines of SEntFiN 1.1: their minimum, every fifth percentile, and their
maximum."""

LABELS = ("negative", "neutral", "positive")
PIPELINE_BATCH = 64
AT_ONCE = 8_192
"""Texts that are prepared while as many are run."""


def checkpoint(config: BertConfig) -> BertForSequenceClassification:
    """With random weights, the same each time."""
    torch.manual_seed(0)
    return BertForSequenceClassification(config).eval()


def packed(model: BertForSequenceClassification) -> PackedNetwork:
    """As `models.sequence_classifier` has it."""
    encoder: Any = model.bert
    network = MultiTaskNetwork(encoder, {}, kinds={}, pooling=Pooling.CLS)
    network.heads["sentiment"] = nn.Sequential(encoder.pooler.dense, nn.Tanh(), model.classifier)
    return PackedNetwork(network, longest=128)


def texts(tokenizer: Tokenizer, count: int) -> list[str]:
    """Of random words, each a token of its own, as long as headlines are, and no two alike."""
    words = sorted(word for word in tokenizer.get_vocab() if word.isascii() and word.isalpha() and len(word) > 2)
    choose = random.Random(0)  # noqa: S311 (not a secret)
    lengths = [choose.choice(LENGTHS) - 2 for _ in range(count)]
    return list(dict.fromkeys(" ".join(choose.choices(words, k=length)) for length in lengths))


def floating_point_operations(config: BertConfig, lengths: Sequence[int]) -> float:
    """Of the multiplications that are done for real tokens: two for each weight and token, in the last layer of the
    first token alone but for keys and values; and attention's two products."""
    wide, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    tokens, count = float(sum(lengths)), len(lengths)
    dense = 4 * wide * wide + 2 * wide * inner
    pairs = float(sum(length * length for length in lengths))
    full = (layers - 1) * (2 * dense * tokens + 4 * wide * pairs)
    last = 2 * 2 * wide * wide * tokens + 2 * (dense - 2 * wide * wide) * count + 4 * wide * tokens
    return full + last


def matrix_multiply_rate(device: str, dtype: torch.dtype, size: int) -> float:
    """Floating-point operations per second of square matrices, the best of five rounds of ten."""
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = min(seconds(lambda: [left @ right for _ in range(10)], device) for _ in range(5))
    return 10 * 2 * size**3 / best


def seconds(work: Callable[[], object], device: str) -> float:
    """How long it took, what it left on the device included."""
    synchronise(device)
    began = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - began


def synchronise(device: str) -> None:
    """Wait for the device."""
    if device == "cuda":
        torch.cuda.synchronize()


class Fp8Linear(nn.Module):
    """A linear layer in FP8 (E4M3), with a scale for each token and each output."""

    def __init__(self, plain: nn.Linear) -> None:
        super().__init__()
        weight, scale = _scaled(plain.weight.detach())
        self.weight, self.scale = nn.Buffer(weight), nn.Buffer(scale.t().contiguous())
        self.bias = nn.Parameter(plain.bias.detach(), requires_grad=False)

    def _apply(self, *_: Any, **__: Any) -> Fp8Linear:
        # It is where it is to be, and a cast of the whole network would undo it.
        return self

    def forward(self, hidden: Tensor) -> Tensor:
        tokens, scale = _scaled(hidden)
        out: Tensor = torch._scaled_mm(
            tokens, self.weight.t(), scale_a=scale, scale_b=self.scale, out_dtype=torch.bfloat16, use_fast_accum=True
        )
        return out + self.bias


def _scaled(rows: Tensor) -> tuple[Tensor, Tensor]:
    scale = rows.abs().amax(dim=-1, keepdim=True).float().clamp(min=1e-12) / torch.finfo(torch.float8_e4m3fn).max
    return (rows / scale).to(torch.float8_e4m3fn), scale


def in_fp8(network: PackedNetwork) -> PackedNetwork:
    """All layers but the last, which has few tokens, and the head."""
    for layer in network.layers:
        for parent in list(layer.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(parent, name, Fp8Linear(child.to("cuda", torch.bfloat16)))
    return network


def from_ids(backend: PackedBackend, batches: Sequence[Batch], device: str) -> float:
    """Seconds, the best of three."""
    backend.run(batches[: len(batches) // 10 + 1])
    return min(seconds(lambda: backend.run(batches), device) for _ in range(3))


def from_strings(classifier: TextClassifier, given: Sequence[str], device: str) -> float:
    """Seconds; one part is prepared while another is run."""
    parts = [given[start : start + AT_ONCE] for start in range(0, len(given), AT_ONCE)]
    classifier.classify(parts[0][:1000])

    def work() -> None:
        with ThreadPoolExecutor(1) as thread:
            coming = thread.submit(classifier.prepare, parts[0])
            for number in range(len(parts)):
                prepared = coming.result()
                if number + 1 < len(parts):
                    coming = thread.submit(classifier.prepare, parts[number + 1])
                classifier.infer(prepared)

    return seconds(work, device)


def pipeline_rate(
    model: BertForSequenceClassification, tokenizer: Tokenizer, given: Sequence[str], device: str
) -> float:
    """Texts per second of transformers' own pipeline, in bf16."""
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "cls", "sep", "unk")}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    ask: Any = pipeline(
        "text-classification", model=model.to(torch.bfloat16), tokenizer=fast, device=device, batch_size=PIPELINE_BATCH
    )
    ask(list(given[:256]))
    return len(given) / seconds(lambda: ask(list(given)), device)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--texts", type=int, default=100_000, help="how many (default: 100,000)")
    options = parser.parse_args()
    logging.set_verbosity_error()
    if torch.cuda.is_available():
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
        measure("cuda", BertConfig(num_labels=len(LABELS)), count=options.texts, budgets=BUDGETS, size=8192)
        return
    print("torch sees no GPU, so there is nothing to measure; the same code on the processor, in miniature:")
    tiny = BertConfig(
        num_labels=len(LABELS), hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128
    )
    measure("cpu", tiny, count=min(options.texts, 300), budgets=(512, 2048), size=512)


def measure(device: str, config: BertConfig, *, count: int, budgets: Sequence[int], size: int) -> None:
    """Print the table."""
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    tokenizer = load_tokenizer(SHIPPED / DEFAULT_MODEL)
    given = texts(tokenizer, count)
    windows = [encoding.ids for encoding in tokenizer.encode_batch_fast(given)]
    lengths = [len(window) for window in windows]
    batches = pack(windows, budget=budgets[-1], padding_id=0)
    ceiling = matrix_multiply_rate(device, dtype, size)
    print(f"{len(given):,} texts of {np.mean(lengths):.1f} tokens on average")
    row("matrix multiplication", f"{ceiling / 1e12:,.1f} TFLOP/s in {str(dtype).removeprefix('torch.')}")
    work = floating_point_operations(config, lengths)
    kinds = {"sentiment": Kind.SINGLE}
    backend = PackedBackend(packed(checkpoint(config)), kinds, device=device, budgets=budgets)
    took = from_ids(backend, batches, device)
    row(
        "ours from token ids",
        f"{len(given) / took:,.0f} texts/s, {work / took / 1e12:,.1f} TFLOP/s, "
        f"{work / took / ceiling:.0%} of matrix multiplication (to reach: 40%)",
    )
    if device == "cuda":
        fp8(backend, config, batches, len(given), work, ceiling)
    settings = ModelSettings(
        name="bench", tasks={"sentiment": LABELS}, languages=("en",), normaliser=VERSION, window_tokens=128
    )
    ours = len(given) / from_strings(TextClassifier(settings, tokenizer, backend), given, device)
    theirs = pipeline_rate(checkpoint(config), tokenizer, given[: max(256, count // 10)], device)
    row("ours from strings", f"{ours:,.0f} texts/s, {ours / theirs:.1f} times the pipeline (to reach: 12)")
    row(f"transformers pipeline, batches of {PIPELINE_BATCH}", f"{theirs:,.0f} texts/s")


def fp8(
    plain: PackedBackend, config: BertConfig, batches: Sequence[Batch], count: int, work: float, ceiling: float
) -> None:
    """The row of FP8, or why there is none."""
    try:
        backend = PackedBackend(in_fp8(packed(checkpoint(config))), {"sentiment": Kind.SINGLE}, device="cuda")
        took = from_ids(backend, batches, "cuda")
        some = batches[:8]
        pairs = zip(plain.run(some), backend.run(some), strict=True)
        furthest = max(float(np.abs(one["sentiment"] - other["sentiment"]).max()) for one, other in pairs)
    except Exception as error:  # a GPU of an earlier make, or a library that has no kernel for it
        row("ours in FP8", f"not here: {type(error).__name__}: {str(error).splitlines()[0][:120]}")
        return
    row(
        "ours in FP8",
        f"{count / took:,.0f} texts/s, {work / took / ceiling:.0%} of bf16 matrix multiplication; "
        f"a logit differs from bf16's by at most {furthest:.3f}",
    )


def row(name: str, figures: str) -> None:
    """A line of the table, as soon as it is known."""
    print(f"{name:40}{figures}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
