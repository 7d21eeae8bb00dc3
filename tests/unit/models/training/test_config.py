"""The configuration of a run: what is refused, and in which words."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.tiny_models import TREE

from domain.errors import InvalidInput
from models.folder import Kind
from models.training.config import Config
from models.training.configure import RECIPES, config_from, read_config
from models.training.policies import Balance, LossKind


def refused(*changes: str, tree: dict[str, Any] = TREE) -> str:
    with pytest.raises(InvalidInput) as caught:
        config_from(tree, changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_with_changes_over_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "train.yml"
    file.write_text(yaml.safe_dump(TREE))
    config = read_config(
        file,
        [
            "optimiser.learning_rate=1e-4",
            "data.0.weight=2",
            "tasks.topic.loss={kind: focal, class_weights: balanced}",
            "tasks.topic.kind=multi",
            "held_out.share=0",
        ],
    )
    assert config.optimiser.learning_rate == 1e-4
    assert config.data[0].weight == 2.0
    assert config.tasks["topic"].loss.kind is LossKind.FOCAL
    assert config.tasks["topic"].loss.class_weights is Balance.BALANCED
    assert config.tasks["topic"].kind is Kind.MULTI
    assert config.tasks["sentiment"].loss.label_smoothing == 0.05
    assert config.held_out.share == 0.0


def test_an_unknown_option_is_named_with_the_nearest_known_one() -> None:
    assert "there is no option 'epocs'; did you mean epochs?" in refused("epocs=2")
    assert "tasks.topic.loss: there is no option 'smoothing'" in refused("tasks.topic.loss.smoothing=0.1")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("epochs=many", "epochs: must be a whole number, got 'many'"),
        ("epochs=true", "epochs: must be a whole number, got True"),
        ("epochs=0", "epochs must be at least 1"),
        ("bf16=1", "bf16: must be true or false"),
        ("method.name=magic", "method.name: must be one of full, head, lora, ia3, prefix, adapter, got 'magic'"),
        ("tasks.topic.labels=[one]", "tasks.topic: labels must name at least two labels"),
        ("tasks.topic.labels=[one, one]", "tasks.topic: labels names a label twice"),
        ("tasks.sentiment.loss.class_weights={postive: 2}", "loss.class_weights: there is no label postive"),
        ("tasks.sentiment.loss.class_weights={positive: -2}", "loss.class_weights must be at least 0"),
        ("adversarial={attack: freelb, steps: 0}", "adversarial: steps must be at least 1"),
        ("optimiser.head_learning_rate=0", "optimiser: head_learning_rate must be more than 0"),
        ("seed=-1", "seed must be at least 0"),
        ("held_out.seed=-1", "held_out: seed must be at least 0"),
        ("data.0.separator=''", "data.0: separator must not be empty"),
        ("added=[{source: moods, file: new.jsonl, task: topic}]", "added: moods is a source of data"),
        ("tasks.topic.loss.class_weights=fair", "must be one of balanced, got 'fair'"),
        ("data.0.task=mood", "data.0.task: there is no task 'mood'; known: sentiment, topic"),
        ("data.0.entity=name", "only tasks of kind entity have an entity column"),
        ("tasks.topic.kind=entity", "data.1: task 'topic' needs an entity column"),
        ("data.0.map={bear: {negative: 0.7}}", "data.0: the shares of 'bear' in map must be at least 0 and sum to 1"),
        ("held_out.folds=5", "held_out: folds and fold go together"),
        ("data.0.held_out=true", "data names no file to train task 'sentiment' on"),
        ("name=null", "name: must be a text, got None"),
        ("data.7.weight=2", "data.7.weight: there is no such place"),
        ("epochs", "epochs: a change is written key=value"),
        ("data.0.weight=.inf", "data.0.weight: must be a finite number, got inf"),
        ("tasks.topic.weight=1e999", "tasks.topic.weight: must be a finite number, got inf"),
        ("r_drop=.nan", "r_drop: must be a finite number, got nan"),
        pytest.param(f"r_drop=1{'0' * 400}", "r_drop: must be a number", id="longer than a number may be"),
        ("epochs=[", "epochs: '[' is no YAML value"),
    ],
)
def test_a_wrong_value_is_named_by_its_path(change: str, words: str) -> None:
    assert words in refused(change)


def test_a_missing_option_is_named() -> None:
    assert "'encoder' is missing" in refused(tree={key: value for key, value in TREE.items() if key != "encoder"})


def test_a_missing_file_is_named_with_the_shipped_recipes() -> None:
    with pytest.raises(
        InvalidInput, match=r"no file train\.yml, no model folder, nor a shipped recipe .*groundswell-minilm"
    ):
        read_config("train.yml")


@pytest.mark.parametrize("recipe", sorted(path.stem for path in RECIPES.glob("*.yml")))
def test_every_shipped_recipe_is_right_and_survives_being_written_down(recipe: str) -> None:
    config = read_config(recipe)
    assert isinstance(config, Config)
    assert config_from(asdict(config)) == config


def test_a_configuration_changes_the_one_that_it_extends_option_by_option(tmp_path: Path) -> None:
    (tmp_path / "base.yml").write_text(
        "extends: groundswell-minilm\noptimiser: {learning_rate: 2e-4}\nheld_out: {seed: 3}\n"
    )
    (tmp_path / "mine.yml").write_text("extends: base.yml\nname: mine\nheld_out: {share: 0.2}\nlanguages: [en, de]\n")
    shipped, mine = read_config("groundswell-minilm"), read_config(tmp_path / "mine.yml")
    assert (mine.name, mine.languages, mine.optimiser.learning_rate) == ("mine", ("en", "de"), 2e-4)
    assert (mine.held_out.share, mine.held_out.seed) == (0.2, 3)
    assert mine.optimiser.layer_decay == shipped.optimiser.layer_decay
    assert (mine.tasks, mine.data) == (shipped.tasks, shipped.data)


def test_a_configuration_that_extends_itself_or_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.yml").write_text("extends: two.yml\n")
    (tmp_path / "two.yml").write_text("extends: one.yml\n")
    with pytest.raises(InvalidInput, match=r"extends: .*one\.yml extends itself"):
        read_config(tmp_path / "one.yml")
    (tmp_path / "two.yml").write_text("extends: three.yml\n")
    with pytest.raises(InvalidInput, match=r"no file three\.yml, no model folder, nor a shipped recipe"):
        read_config(tmp_path / "one.yml")
