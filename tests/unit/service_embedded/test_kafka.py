"""What we make up for Kafka."""

from __future__ import annotations

from service.embedded.kafka import new_cluster_id


def test_a_cluster_id_can_be_an_argument() -> None:
    made = {new_cluster_id() for _ in range(2000)}
    assert len(made) == 2000
    assert all(len(cluster_id) == 22 and not cluster_id.startswith("-") for cluster_id in made)
