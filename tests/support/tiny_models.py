"""A model folder in miniature: a random two-layer encoder over a few words, trained on a rule in seconds."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing
from transformers import BertConfig, BertModel

from models.data import SENTIMENTS, Corpus, Example
from models.fit import Recipe
from models.train import train

WORDS = {"negative": ("plunges", "fraud"), "neutral": ("meets", "holds"), "positive": ("soars", "beats")}
SUBJECTS = {
    "Energy | Oil": ("crude", "refinery"),
    "Earnings": ("profit", "revenue"),
    "Macro": ("inflation", "payrolls"),
}
NAMES = tuple(f"firm{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")
RECIPE = Recipe(epochs=4, batch_size=16, max_tokens=32, learning_rate=5e-3, layer_decay=1.0, held_out=0.2)


def tiny_encoder(folder: Path) -> Path:
    """A Hugging Face folder with random weights, 32 wide, and a word-piece tokenizer of its own."""
    words = [word for group in (WORDS, SUBJECTS) for pair in group.values() for word in pair]
    signs = [chr(code) for code in range(33, 127)]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys([*signs, *words, *NAMES])]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    folder.mkdir(parents=True, exist_ok=True)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def tiny_corpus(rows: int = 500) -> Corpus:
    """Texts whose sentiment and topic each follow from one word; half are labelled for each task."""
    choose = random.Random(0)
    topics = tuple(SUBJECTS)
    examples = []
    for number in range(rows):
        sentiment, topic = choose.choice(SENTIMENTS), choose.choice(topics)
        words = [choose.choice(WORDS[sentiment]), choose.choice(SUBJECTS[topic]), *choose.sample(NAMES, 5)]
        choose.shuffle(words)
        task, label = ("sentiment", SENTIMENTS.index(sentiment)) if number % 2 else ("topic", topics.index(topic))
        examples.append(Example(text=" ".join(words), source=f"tiny-{task}", task=task, label=label))
    return Corpus(tasks={"sentiment": SENTIMENTS, "topic": topics}, examples=tuple(examples))


def tiny_model(folder: Path, recipe: Recipe = RECIPE) -> dict[str, float]:
    """Train into `folder`/model; returns the held-out accuracy by source."""
    threads = torch.get_num_threads()
    # Two threads on matrices this small mostly wait for each other.
    torch.set_num_threads(1)
    try:
        return train(
            tiny_corpus(),
            encoder=tiny_encoder(folder / "encoder"),
            out=folder / "model",
            checkpoints=folder / "checkpoints",
            recipe=recipe,
            name="tiny",
        )
    finally:
        torch.set_num_threads(threads)
