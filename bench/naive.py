"""The pipeline that most people write: one message, one call of a transformers pipeline for each model, one INSERT and
its commit, one Redis call, then the next message. Started by bench.throughput, with the settings in the environment:

    python -m bench.naive same 60 20     # our encoder in torch; at most 60 seconds after 20 documents of warm-up
    python -m bench.naive bert 60 5      # a BERT-base for sentiment and another for topic, with random weights

Prints documents per second.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import islice
from typing import Any

import psycopg2
import redis
import torch
from kafka import KafkaConsumer
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, pipeline
from transformers.utils import logging

from models.load import DEFAULT_MODEL, SHIPPED
from service import connections
from service.settings import Settings, load


def pipelines(model: str) -> list[Any]:
    """`same`: the encoder of the model that ships, with the ordinary classification head on it (its weights are not
    ours: they change no time). `bert`: two BERT-base models, as their configuration has them by default."""
    folder = SHIPPED / DEFAULT_MODEL
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if model == "same":
        networks = [
            BertForSequenceClassification.from_pretrained(
                folder, num_labels=3, dtype=torch.float32, local_files_only=True
            )
        ]
    else:
        networks = [BertForSequenceClassification(BertConfig(num_labels=labels)).eval() for labels in (3, 20)]
    return [
        pipeline("text-classification", model=network, tokenizer=tokenizer, truncation=True, device="cpu")
        for network in networks
    ]


def rate(settings: Settings, model: str, *, seconds: float, warm_up: int) -> float:
    """Documents per second, from Kafka to Postgres and Redis, after the warm-up."""
    classify = pipelines(model)
    connection = psycopg2.connect(connections.postgres_dsn(settings))
    cursor = connection.cursor()
    cursor.execute(f"CREATE TABLE naive_{model} (id text, published_at timestamptz, text text, label text, score real)")
    connection.commit()
    url = settings.redis.url
    assert url is not None
    windows = redis.Redis.from_url(url.get_secret_value())
    messages = KafkaConsumer(
        settings.kafka.news_topic,
        settings.kafka.comments_topic,
        group_id=f"naive-{model}",
        auto_offset_reset="earliest",
        consumer_timeout_ms=10_000,
        **connections.kafka(settings).kafka_python(),
    )

    def handle(message: Any) -> None:
        row = json.loads(message.value)
        answers = [classifier(row["text"])[0] for classifier in classify]
        cursor.execute(
            f"INSERT INTO naive_{model} VALUES (%s, %s, %s, %s, %s)",  # noqa: S608
            (row["id"], row["published_at"], row["text"], answers[0]["label"], answers[0]["score"]),
        )
        connection.commit()
        windows.hincrby(f"naive-{model}:{row['published_at'][:16]}", answers[0]["label"], 1)

    stream = iter(messages)
    for message in islice(stream, warm_up):
        handle(message)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds and (message := next(stream, None)) is not None:
        handle(message)
        done += 1
        ended = time.perf_counter()
    assert done, "there were no documents left after the warm-up"
    return done / (ended - began)


if __name__ == "__main__":
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    print(rate(load(find_running=False).settings, sys.argv[1], seconds=float(sys.argv[2]), warm_up=int(sys.argv[3])))
