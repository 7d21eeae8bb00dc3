"""`groundswell topics`: make the topics, and look at them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.app import Invocation, app

if TYPE_CHECKING:
    from stream.topics import TopicDescription

topics = typer.Typer(no_args_is_help=True, help="Make Kafka's topics, and look at them.")
app.add_typer(topics, name="topics", rich_help_panel="Operate", epilog="Example: groundswell topics create")


@topics.command(epilog="Example: groundswell topics create --partitions 8 --replication-factor 3")
def create(
    context: typer.Context,
    partitions: Annotated[int | None, typer.Option(help="Of each topic. Default: kafka.partitions.")] = None,
    replication_factor: Annotated[
        int | None, typer.Option(help="Of each partition. Default: kafka.replication_factor.")
    ] = None,
) -> None:
    """Make the topics that are missing, and give more partitions to those that have too few."""
    from service import connections
    from stream.admin import KafkaAdmin
    from stream.topics import create_topics

    invocation: Invocation = context.obj
    settings = invocation.load(kafka__partitions=partitions, kafka__replication_factor=replication_factor).settings
    with KafkaAdmin(connections.kafka(settings)) as admin:
        for change in create_topics(admin, connections.topic_plans(settings)):
            typer.echo(f"{change.topic}: {change.outcome}, {change.partitions} partitions")
            for difference in change.differs:
                typer.echo(f"  {difference}")


@topics.command(epilog="Example: groundswell topics describe")
def describe(context: typer.Context) -> None:
    """Partitions, messages, what matters of their configuration, and how far the stages lag behind."""
    from service import connections
    from stream.admin import KafkaAdmin
    from stream.topics import describe_topics

    invocation: Invocation = context.obj
    settings = invocation.load().settings
    with KafkaAdmin(connections.kafka(settings)) as admin:
        described = describe_topics(admin, connections.topic_names(settings), connections.groups(settings))
    for topic in described:
        for line in _describe(topic):
            typer.echo(line)


def _describe(topic: TopicDescription) -> list[str]:
    if not topic.exists:
        return [f"{topic.name}: missing; make it with `groundswell topics create`"]
    in_sync = sum(partition.in_sync for partition in topic.partitions)
    replicas = sum(partition.replicas for partition in topic.partitions)
    lines = [
        f"{topic.name}: {len(topic.partitions)} partitions, {topic.messages:,} messages, "
        f"{in_sync} of {replicas} replicas in sync"
    ]
    for group in dict.fromkeys(lag.group for lag in topic.lags):
        lags = [lag for lag in topic.lags if lag.group == group]
        each = ", ".join(f"{lag.number}: {lag.lag:,}" for lag in lags)
        lines.append(f"  {group} lags {sum(lag.lag for lag in lags):,} messages behind ({each})")
    lines.append("  " + " ".join(f"{name}={value}" for name, value in topic.configs.items()))
    return lines
