"""Would an early exit make the classifier faster at the same answers? `python -m bench.cascade`.

The model is cut in two after a layer (the third, or `--layers`). The lower part gives, beside its hidden states, the
logits of an exit: new linear heads, one for each task, on the mean of its tokens' states. A text whose exit is sure
(the lowest, over the tasks, of the largest probability is at least a threshold) leaves. The others' states are packed
again, into batches of one width each, and go through the upper part and the model's own heads. The whole model, the
lower and the upper part are each made int8 by `models.convert`, and run as OpenVinoBackend runs a model: as many
streams as cores, which are two.

The texts are in three parts. On the first the exit is fitted to the probabilities that the whole int8 model gives; on
the second the thresholds are chosen, each the lowest at which at most so many texts get another label in any task than
from the whole int8 model; on the third speed and labels are measured, the whole and the cascades taking turns. What is
timed is inference alone, of texts that are tokenised and packed before, 256 at a time (as the classify stage has them);
the next 256 are queued while some are run, so that no stream idles at the end of a group.

Only tasks of kind single are answered, by both: one of kind entity needs the states of tokens, which a text that leaves
has none of, and one of kind multi has no largest probability to be sure of. Composed texts are more alike than real
ones, and so easier: give real ones with `--texts`.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import math
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.classifier import given_texts
from bench.machine import pin, processor
from models.backend import Logits
from models.batches import Batch, pack
from models.convert import calibration_batches, calibration_sentences, convert, write_openvino
from models.first_token import is_bert_like
from models.folder import Kind, Pooling, read_settings
from models.load import find_folder, load_tokenizer
from models.network import MultiTaskNetwork, load_network
from models.openvino_backend import OpenVinoBackend, compiled
from models.scores import probabilities

DOCUMENTS, ROUNDS = 20_000, 5
QUICK = 400
"""Texts, when it is only to be shown that it runs."""
FIT, CHOOSE = 0.4, 0.3
"""Shares of the texts on which the exit is fitted, and the thresholds are chosen; the rest is measured."""
LIMITS = (0.005, 0.01, 0.02)
"""Shares of the texts that may get another label."""
TOGETHER, BUDGET = 256, OpenVinoBackend.token_budget
WEIGHT_DECAY = 1e-4
HIDDEN, POOLED, IDS, MASK = "hidden", "pooled", "input_ids", "attention_mask"

Inputs = Mapping[str, NDArray[Any]]
Run = Callable[[Inputs], Logits]
Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]


class _Half(nn.Module):
    def __init__(self, encoder: Any, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleDict(heads)

    def answers(self, hidden: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        pooled = (hidden * mask).sum(1) / mask.sum(1)
        return tuple(head(pooled) for head in self.heads.values())


class Lower(_Half):
    """Ids and mask, (texts, tokens), to hidden states, (texts, tokens, hidden), and each head's logits, (texts,
    labels)."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        hidden: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return hidden, *self.answers(hidden, attention_mask)


class Upper(_Half):
    """Hidden states, (texts, tokens, hidden), and mask, (texts, tokens), to each head's logits, (texts, labels)."""

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        last: Tensor = self.encoder(inputs_embeds=hidden, attention_mask=attention_mask).last_hidden_state
        return self.answers(last, attention_mask)


class _Given(nn.Module):
    def forward(self, *, inputs_embeds: Tensor, **_: object) -> Tensor:
        return inputs_embeds


def cut_in_two(network: MultiTaskNetwork, layers: int) -> tuple[Lower, Upper]:
    """The first `layers` layers of a BERT-like network, without an exit, and the others with the network's heads: one
    after the other they compute what the network does. Both are copies."""
    below, above = copy.deepcopy(network.encoder), copy.deepcopy(network.encoder)
    below.encoder.layer = below.encoder.layer[:layers]
    above.encoder.layer = above.encoder.layer[layers:]
    # An encoder without embeddings, and not bare layers, so that it makes its own kind of mask for them.
    above.embeddings = _Given()
    return Lower(below, {}).eval(), Upper(above, dict(copy.deepcopy(network.heads).items())).eval()


def fitted(states: NDArray[np.float32], targets: NDArray[np.float64]) -> nn.Linear:
    """The linear head on `states`, (texts, hidden), whose softmax is nearest to `targets`, (texts, labels)."""
    middle, spread = torch.from_numpy(states.mean(0)), torch.from_numpy(states.std(0) + 1e-6)
    inputs, wanted = (torch.from_numpy(states) - middle) / spread, torch.from_numpy(targets).float()
    head = nn.Linear(inputs.shape[1], wanted.shape[1])
    for parameter in head.parameters():
        nn.init.zeros_(parameter)
    optimizer: torch.optim.Optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> float:
        optimizer.zero_grad()
        value = cross_entropy(head(inputs), wanted) + WEIGHT_DECAY * head.weight.square().sum()
        torch.autograd.backward(value)
        return value.item()

    optimizer.step(loss)
    with torch.no_grad():
        head.weight.div_(spread)
        head.bias.sub_(head.weight @ middle)
    return head


class Part:
    """An OpenVINO file, with a request for each thread that calls it. What it returns is copied out of the request."""

    def __init__(self, file: Path, streams: int, example: Inputs) -> None:
        self._model = compiled(file, streams)
        self._outputs = [port.get_any_name() for port in self._model.outputs]
        self._request = threading.local()
        self(example)  # As in OpenVinoBackend, the first use is one thread's alone.

    def __call__(self, inputs: Inputs) -> Logits:
        request = getattr(self._request, "mine", None)
        if request is None:
            request = self._request.mine = self._model.create_infer_request()
        request.infer(dict(inputs), share_inputs=True)
        return {name: np.array(request.get_tensor(name).data, dtype=np.float32) for name in self._outputs}


def grouped(tokens: Sequence[Sequence[int]], *, padding_id: int) -> list[list[Batch]]:
    """The batches of each TOGETHER texts; their `windows` are positions in `tokens`."""
    groups = []
    for start in range(0, len(tokens), TOGETHER):
        batches = pack(tokens[start : start + TOGETHER], budget=BUDGET, padding_id=padding_id)
        groups.append([replace(one, windows=tuple(start + number for number in one.windows)) for one in batches])
    return groups


def repack(
    batches: Sequence[Batch], hidden: Sequence[NDArray[np.float32]], stay: Sequence[Flags], *, budget: int = BUDGET
) -> list[tuple[Numbers, Inputs]]:
    """Of each batch the texts that `stay`, (texts,), with their `hidden` states, (texts, tokens, hidden), in new
    batches of one width each, under the budget: which texts, and the upper part's inputs."""
    by_width: dict[int, list[int]] = {}
    for number, batch in enumerate(batches):
        by_width.setdefault(batch.ids.shape[1], []).append(number)
    packed: list[tuple[Numbers, Inputs]] = []
    for width, numbers in by_width.items():
        states = np.concatenate([hidden[number][stay[number]] for number in numbers])
        masks = np.concatenate([batches[number].mask[stay[number]] for number in numbers])
        texts = np.concatenate([np.array(batches[number].windows)[stay[number]] for number in numbers])
        size = max(1, budget // width)
        for rows in (slice(start, start + size) for start in range(0, len(texts), size)):
            packed.append((texts[rows], {HIDDEN: states[rows], MASK: masks[rows]}))
    return packed


def whole_answers(whole: Run, groups: Iterable[Sequence[Batch]], names: Sequence[str], pool: Executor) -> Logits:
    """Logits of each of `names`, (texts, labels), in the order of the texts."""
    pairs = (zip(group, outs, strict=True) for group, outs in _ahead(whole, groups, pool))
    return _in_order([(np.array(batch.windows), out) for batch, out in itertools.chain.from_iterable(pairs)], names)


def cascade_answers(
    parts: tuple[Run, Run], groups: Iterable[Sequence[Batch]], names: Sequence[str], pool: Executor, threshold: float
) -> tuple[Logits, float]:
    """As `whole_answers`, of the lower part's exit where it is sure and else of the upper part; and the share of the
    texts that left."""
    lower, upper = parts
    left, later = [], []
    for group, outs in _ahead(lower, groups, pool):
        stay = [sureness({name: out[name] for name in names}) < threshold for out in outs]
        for batch, out, kept in zip(group, outs, stay, strict=True):
            left.append((np.array(batch.windows)[~kept], {name: out[name][~kept] for name in names}))
        # Not waited for here: the lower part goes on with the next group.
        again = repack(group, [out[HIDDEN] for out in outs], stay)
        later += [(texts, pool.submit(upper, inputs)) for texts, inputs in again]
    stayed = [(texts, future.result()) for texts, future in later]
    gone, others = (sum(len(texts) for texts, _ in answered) for answered in (left, stayed))
    return _in_order([*left, *stayed], names), gone / (gone + others)


def _ahead(
    run: Run, groups: Iterable[Sequence[Batch]], pool: Executor
) -> Iterator[tuple[Sequence[Batch], list[Logits]]]:
    started = (
        (group, [pool.submit(run, {IDS: batch.ids, MASK: batch.mask}) for batch in group])
        for group in itertools.chain(groups, [[]])
    )
    # Of two in turn the second is queued before the first is waited for.
    for (group, futures), _ in itertools.pairwise(started):
        yield group, [future.result() for future in futures]


def _in_order(answered: Sequence[tuple[Numbers, Logits]], names: Sequence[str]) -> Logits:
    order = np.argsort(np.concatenate([texts for texts, _ in answered]))
    return {name: np.concatenate([out[name] for _, out in answered])[order] for name in names}


def sureness(logits: Logits) -> NDArray[np.float64]:
    """The lowest, over the tasks, of the largest probability: (texts,)."""
    return np.asarray(np.min([probabilities(rows, kind=Kind.SINGLE).max(1) for rows in logits.values()], axis=0))


def changed(answers: Logits, reference: Logits) -> Flags:
    """Whether a text has another label in any task: (texts,)."""
    return np.asarray(np.any([rows.argmax(1) != reference[task].argmax(1) for task, rows in answers.items()], axis=0))


def choose(sure: NDArray[np.float64], if_left: Flags, if_stayed: Flags, limit: float) -> float:
    """The lowest threshold at which at most `limit` of the texts get another label; infinity (none leaves) where there
    is none. All (texts,): how sure the exit is, and whether the label is another if the text leaves, and if it stays
    (both parts in int8 may answer otherwise than the whole)."""
    kept = (one for one in np.unique(sure) if np.where(sure >= one, if_left, if_stayed).mean() <= limit)
    return float(next(kept, math.inf))


@dataclass(frozen=True, kw_only=True)
class Row:
    """The whole, or the cascade with one threshold."""

    title: str
    threshold: float
    left: float
    same: float
    """The share of texts with the whole's labels in all tasks."""
    rates: list[float] = field(default_factory=list)
    """Documents per second in each round."""


class Bench:
    """The whole in int8, its two halves in full precision, and the texts."""

    def __init__(self, model: Path, layers: int, texts: Sequence[str], folder: Path, cores: int, say: Console) -> None:
        """Raises ValueError for a model that can't be cut so."""
        settings, tokenizer = read_settings(model), load_tokenizer(model)
        network = load_network(model, settings)
        self._tasks = [task for task in settings.tasks if settings.kinds.get(task, Kind.SINGLE) is Kind.SINGLE]
        if not is_bert_like(network.encoder) or network.pooling is not Pooling.MEAN or not self._tasks:
            raise ValueError(f"{model.name} is not BERT-like, pooled at the mean, with a task of kind single")
        if not 1 <= layers < len(network.encoder.encoder.layer):
            raise ValueError(f"{layers} layers below the exit leave none below or none above it")
        network.heads = nn.ModuleDict({task: network.heads[task] for task in self._tasks})
        self._temperatures = settings.temperatures
        self._folder, self._cores, self._say = folder, cores, say
        tokens = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]
        self.tokens_per_document = statistics.mean(map(len, tokens))
        ends = [0, int(FIT * len(tokens)), int((FIT + CHOOSE) * len(tokens)), len(tokens)]
        padding_id = network.encoder.config.pad_token_id or 0
        self._fit, self._choose, self._measure = (
            grouped(tokens[start:end], padding_id=padding_id) for start, end in itertools.pairwise(ends)
        )
        self._measured = ends[3] - ends[2]
        calibration = calibration_batches(tokenizer, calibration_sentences(), longest=settings.window_tokens)
        self._feeds: list[Inputs] = [{IDS: one.ids, MASK: one.mask} for one in calibration]
        self._halves = cut_in_two(network, layers)
        say.print("The whole in int8 …")
        convert(network, self._tasks, folder / "whole.xml", calibration=calibration)
        self._whole = Part(folder / "whole.xml", cores, self._feeds[0])

    def rows(self, rounds: int) -> list[Row]:
        """The whole, and a cascade for each of LIMITS."""
        with ThreadPoolExecutor(self._cores) as pool:
            parts, tasks, measured = (self._lower(pool), self._upper()), self._tasks, self._measure
            self._say.print("Choosing thresholds …")
            reference = whole_answers(self._whole, self._choose, tasks, pool)
            left, stayed = (cascade_answers(parts, self._choose, tasks, pool, one)[0] for one in (0, math.inf))
            chosen = [
                choose(sureness(left), changed(left, reference), changed(stayed, reference), limit) for limit in LIMITS
            ]
            # What is run here for the labels warms up as well.
            reference = whole_answers(self._whole, measured, tasks, pool)
            rows = [Row(title="the whole", threshold=math.inf, left=0, same=1)]
            for limit, threshold in zip(LIMITS, chosen, strict=True):
                answers, share = cascade_answers(parts, measured, tasks, pool, threshold)
                same = 1 - float(changed(answers, reference).mean())
                rows.append(Row(title=f"at most {limit:.1%} change", threshold=threshold, left=share, same=same))
            for number in range(1, rounds + 1):
                self._say.print(f"Round {number} of {rounds} …")
                for row in rows:
                    began = time.perf_counter()
                    if row is rows[0]:
                        whole_answers(self._whole, measured, tasks, pool)
                    else:
                        cascade_answers(parts, measured, tasks, pool, row.threshold)
                    row.rates.append(self._measured / (time.perf_counter() - began))
        return rows

    def _lower(self, pool: Executor) -> Part:
        half, targets = self._halves[0], whole_answers(self._whole, self._fit, self._tasks, pool)
        # Twice in int8: first for the states that an exit will see, then with the exit that is fitted to them.
        half.heads = nn.ModuleDict({POOLED: nn.Identity()})
        states = whole_answers(self._int8("states", half, self._feeds, [HIDDEN, POOLED]), self._fit, [POOLED], pool)
        self._say.print("Fitting the exit …")
        for task, logits in targets.items():
            wanted = probabilities(logits, kind=Kind.SINGLE, temperature=self._temperatures.get(task, 1.0))
            half.heads[task] = fitted(states[POOLED], wanted)
        del half.heads[POOLED]
        return self._int8("lower", half, self._feeds, [HIDDEN, *self._tasks])

    def _upper(self) -> Part:
        lower, upper = self._halves
        with torch.inference_mode():
            # In full precision, as what NNCF sees of these layers in the whole.
            states = [lower(*(torch.from_numpy(feed[name]) for name in (IDS, MASK)))[0].numpy() for feed in self._feeds]
        feeds = [{HIDDEN: one, MASK: feed[MASK]} for one, feed in zip(states, self._feeds, strict=True)]
        return self._int8("upper", upper, feeds, self._tasks)

    def _int8(self, name: str, half: nn.Module, feeds: Sequence[Inputs], outputs: Sequence[str]) -> Part:
        self._say.print(f"{name} in int8 …")
        # Two texts: of a single one, tracing may take the first dimension for a constant.
        example = {key: torch.from_numpy(np.repeat(value, 2, axis=0)) for key, value in feeds[0].items()}
        write_openvino(half, example, outputs, self._folder / f"{name}.xml", calibration=feeds)
        return Part(self._folder / f"{name}.xml", self._cores, feeds[0])


def results_table(rows: Sequence[Row]) -> Table:
    """The whole first."""
    table = Table(title="A cascade", title_justify="left")
    for title in ("", "threshold", "share that leaves", "documents/s", "times the whole", "same labels"):
        table.add_column(title, justify="right" if title else "left")
    whole = statistics.median(rows[0].rates)
    for row in rows:
        rate = statistics.median(row.rates)
        how = ("", "") if row is rows[0] else (f"{row.threshold:.4f}", f"{row.left:.1%}")
        table.add_row(row.title, *how, f"{rate:,.0f}", f"{rate / whole:.2f}", f"{row.same:.2%}")
    return table


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.cascade",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: python -m bench.cascade --texts tweets.jsonl --layers 2",
    )
    parser.add_argument("--texts", type=Path, help="JSONL with `text`; without it, composed headlines and comments")
    parser.add_argument("--documents", type=int, help=f"how many texts at most (default {DOCUMENTS:,})")
    parser.add_argument("--layers", type=int, default=3, help="how many layers are below the exit (default 3)")
    parser.add_argument("--rounds", type=int, help=f"how many turns each has (default {ROUNDS})")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} texts, one round: shows that it runs, no more")
    options = parser.parse_args()
    cores, model = pin(), find_folder(None)
    count = options.documents or (QUICK if options.quick else DOCUMENTS)
    texts = given_texts(options.texts, count, longest=read_settings(model).window_tokens, model=model)
    with tempfile.TemporaryDirectory(prefix="groundswell-bench-") as folder:
        try:
            bench = Bench(model, options.layers, texts, Path(folder), len(cores), Console(stderr=True))
        except ValueError as error:
            parser.error(str(error))
        rows = bench.rows(options.rounds or (1 if options.quick else ROUNDS))
    out = Console(width=140) if not sys.stdout.isatty() else Console()
    about = f"{len(texts):,} texts of {bench.tokens_per_document:.1f} tokens on average"
    out.print(f"{len(cores)} cores of {processor()}, {about}, an exit after layer {options.layers}", highlight=False)
    out.print(results_table(rows))


if __name__ == "__main__":
    main()
