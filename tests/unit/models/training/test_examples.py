"""From rows to examples, and to which side of the split they go."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.tiny_models import TREE, write_rows

from domain.errors import InvalidInput
from models.training.config import Config
from models.training.configure import config_from
from models.training.examples import Corpus, read_corpus, read_held_out, teach


def corpus(folder: Path, files: dict[str, list[dict[str, Any]]], *changes: str) -> tuple[Config, Corpus]:
    for name, rows in files.items():
        write_rows(folder / name, rows)
    config = config_from(TREE, ("held_out.share=0", *changes))
    return config, read_corpus(config, folder)


def moods(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"text": text, "label": label} for text, label in pairs]


THEMES = moods(("crude up", "Energy | Oil"), ("prices up", "Macro"))


def test_rows_of_one_text_become_one_example_with_the_labels_of_all_tasks(tmp_path: Path) -> None:
    files = {"moods.jsonl": moods(("crude  up", "positive"), ("all fell", "negative")), "themes.jsonl": THEMES}
    _, read = corpus(tmp_path, files)
    assert [example.text for example in read.training] == ["crude up", "all fell", "prices up"]
    assert [(label.task, label.source, label.target) for label in read.training[0].labels] == [
        ("sentiment", "moods", (0.0, 0.0, 1.0)),
        ("topic", "themes", (1.0, 0.0, 0.0)),
    ]


def test_a_source_that_contradicts_itself_gives_a_soft_label(tmp_path: Path) -> None:
    files = {"moods.jsonl": moods(("a", "positive"), ("a", "negative"), ("b", "neutral")), "themes.jsonl": THEMES}
    _, read = corpus(tmp_path, files)
    assert [label.target for label in read.training[0].labels] == [(0.5, 0.0, 0.5)]


def test_two_sources_keep_a_label_each_and_the_larger_weight_counts(tmp_path: Path) -> None:
    files = {
        "moods.jsonl": moods(("a", "positive"), ("b", "negative")),
        "more.jsonl": moods(("a", "neutral")),
        "themes.jsonl": THEMES,
    }
    more = "data=" + str([*TREE["data"], {"source": "more", "file": "more.jsonl", "task": "sentiment", "weight": 3.0}])
    _, read = corpus(tmp_path, files, more)
    assert [(label.source, label.target) for label in read.training[0].labels] == [
        ("moods", (0.0, 0.0, 1.0)),
        ("more", (0.0, 1.0, 0.0)),
    ]
    assert [example.weight for example in read.training] == [3.0, 1.0, 1.0, 1.0]


def test_one_class_only_is_refused_with_file_and_lines(tmp_path: Path) -> None:
    files = {"moods.jsonl": moods(("a", "positive"), ("b", "positive")), "themes.jsonl": THEMES}
    with pytest.raises(InvalidInput, match=r"moods\.jsonl:1 to .*:2: all 2 rows of task 'sentiment' are 'positive'"):
        corpus(tmp_path, files)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no file .*themes\.jsonl.*--data-dir"):
        corpus(tmp_path, {"moods.jsonl": moods(("a", "positive"), ("b", "negative"))})


def test_a_held_out_file_takes_what_nearly_repeats_it_along(tmp_path: Path) -> None:
    story = "the central bank of the island raised its rate by half a point on monday"
    files = {
        "moods.jsonl": moods((f"{story} again", "negative"), ("a", "positive"), ("b", "negative")),
        "test.jsonl": moods((story, "negative")),
        "themes.jsonl": THEMES,
    }
    more = "data=" + str([*TREE["data"], {"source": "t", "file": "test.jsonl", "task": "sentiment", "held_out": True}])
    _, read = corpus(tmp_path, files, more.replace("True", "true"))
    assert {example.text for example in read.held_out} == {story, f"{story} again"}
    assert {example.text for example in read.training} == {"a", "b", "crude up", "prices up"}


def test_the_two_sides_have_each_label_of_a_multi_label_task_and_texts_without_any(tmp_path: Path) -> None:
    each: tuple[list[str], ...] = ([], ["fees"], ["fees", "fraud"], ["fees", "service"])
    rows = [{"text": f"w{number} " * 3, "label": each[number % 4]} for number in range(80)]
    tree = {
        **TREE,
        "tasks": {"complaint": {"kind": "multi", "labels": ["fees", "service", "fraud"]}},
        "data": [{"source": "calls", "file": "calls.jsonl", "task": "complaint"}],
        "held_out": {"share": 0.25},
    }
    write_rows(tmp_path / "calls.jsonl", rows)
    held = read_corpus(config_from(tree), tmp_path).held_out
    assert Counter(example.labels[0].target for example in held) == {
        (0.0, 0.0, 0.0): 5,
        (1.0, 0.0, 0.0): 5,
        (1.0, 1.0, 0.0): 5,
        (1.0, 0.0, 1.0): 5,
    }


def test_folds_part_what_is_not_held_out(tmp_path: Path) -> None:
    words = ["oil", "gas", "gold", "corn", "rice", "zinc", "tin", "lead", "iron", "silk", "salt", "wool"]
    files = {
        "moods.jsonl": moods(
            *((f"{word} news of {word}", ("positive", "negative")[n % 2]) for n, word in enumerate(words))
        ),
        "themes.jsonl": THEMES,
    }
    parts = [corpus(tmp_path, files, f"held_out={{share: 0.2, folds: 3, fold: {fold}}}")[1] for fold in range(3)]
    everything = {example.text for part in parts for example in (*part.training, *part.held_out, *part.out_of_fold)}
    assert len(everything) == len(words) + len(THEMES)
    assert len({tuple(example.text for example in part.held_out) for part in parts}) == 1
    left_out = [example.text for part in parts for example in part.out_of_fold]
    assert sorted(left_out) == sorted(everything - {example.text for example in parts[0].held_out})


class Teachers:
    """Sure of every text's sentiment; asked about nothing else."""

    def get(self, text: str, task: str, entity: str | None = None) -> tuple[float, ...] | None:
        return (0.1, 0.2, 0.7) if task == "sentiment" else None

    def is_out_of_fold(self, text: str) -> bool:
        return True


def test_teachers_share_the_loss_with_labels_and_have_all_of_it_elsewhere(tmp_path: Path) -> None:
    files = {"moods.jsonl": moods(("a", "positive"), ("b", "negative")), "themes.jsonl": THEMES}
    write_rows(tmp_path / "more.jsonl", [{"text": "something new"}, {"text": "a"}])
    config, read = corpus(tmp_path, files, "distil={unlabelled: [more.jsonl], weight: 0.75}")
    taught = teach(config, read, Teachers()).training
    assert [example.text for example in taught] == ["a", "b", "crude up", "prices up", "something new"]
    assert [[label.weight for label in example.labels] for example in taught] == [[0.25], [0.25], [1.0], [1.0], []]
    assert [[label.weight for label in example.teachers] for example in taught] == [[0.75], [0.75], [1.0], [1.0], [1.0]]
    assert taught[4].teachers[0].target == (0.1, 0.2, 0.7)


def test_an_unlabelled_text_that_nearly_repeats_a_held_out_one_is_not_learnt(tmp_path: Path) -> None:
    story = "the central bank of the island raised its rate by half a point on monday"
    files = {
        "moods.jsonl": moods(("a", "positive"), ("b", "negative")),
        "test.jsonl": moods((story, "negative")),
        "themes.jsonl": THEMES,
    }
    write_rows(tmp_path / "more.jsonl", [{"text": f"{story} night"}, {"text": "something new"}])
    more = "data=" + str([*TREE["data"], {"source": "t", "file": "test.jsonl", "task": "sentiment", "held_out": True}])
    _, read = corpus(tmp_path, files, more.replace("True", "true"), "distil.unlabelled=[more.jsonl]")
    assert [example.text for example in read.unlabelled] == ["something new"]


def test_an_unlabelled_text_that_nearly_repeats_one_of_the_fold_left_out_is_not_learnt(tmp_path: Path) -> None:
    stories = [f"the central bank of island {number} raised its rate by {number} points" for number in range(20)]
    files = {
        "moods.jsonl": moods(*((story, ("positive", "negative")[n % 2]) for n, story in enumerate(stories))),
        "themes.jsonl": THEMES,
    }
    write_rows(tmp_path / "more.jsonl", [{"text": f"{story} today"} for story in stories])
    changes = ("held_out={share: 0, folds: 2, fold: 0}", "distil.unlabelled=[more.jsonl]")
    _, read = corpus(tmp_path, files, *changes)
    left_out = {example.text for example in read.out_of_fold}
    assert 0 < len(left_out) < 22
    assert {example.text for example in read.unlabelled} == {f"{story} today" for story in set(stories) - left_out}


def test_what_a_run_measures_on_is_read_without_what_it_learnt_besides(tmp_path: Path) -> None:
    texts = [f"{word} {number} {word}" for number in range(30) for word in ("soars", "plunges")]
    files = {
        "moods.jsonl": moods(*((text, "positive" if "soars" in text else "negative") for text in texts)),
        "themes.jsonl": THEMES,
        "new.jsonl": moods(("a new one", "neutral")),
    }
    write_rows(tmp_path / "more.jsonl", [{"text": "something new"}])
    added = "added=[{source: corrections, file: new.jsonl, task: sentiment}]"
    config, read = corpus(tmp_path, files, "held_out={share: 0.2}", "distil.unlabelled=[more.jsonl]", added)
    for name in ("new.jsonl", "more.jsonl"):
        (tmp_path / name).unlink()
    assert read_held_out(config, tmp_path) == read.held_out != ()


def test_what_was_added_later_leaves_the_split_as_it_is_and_is_all_learnt(tmp_path: Path) -> None:
    texts = [f"{word} {number} {word}" for number in range(30) for word in ("soars", "plunges")]
    files = {
        "moods.jsonl": moods(*((text, "positive" if "soars" in text else "negative") for text in texts)),
        "themes.jsonl": THEMES,
    }
    _, before = corpus(tmp_path, files, "held_out={share: 0.2}")
    held = before.held_out[0].text
    new = moods(("a new one", "neutral"), ("another", "positive"), (held, "neutral"), (f"{held} again", "neutral"))
    added = "added=[{source: corrections, file: new.jsonl, task: sentiment, weight: 3}]"
    _, after = corpus(tmp_path, {**files, "new.jsonl": new}, "held_out={share: 0.2}", added)

    assert after.held_out == before.held_out
    assert after.training[:-2] == before.training
    assert [(example.text, example.weight) for example in after.training[-2:]] == [("a new one", 3), ("another", 3)]
    assert after.files[-1].rows == 4


def test_what_was_added_counts_in_place_of_what_was_said_before(tmp_path: Path) -> None:
    files = {
        "moods.jsonl": moods(("crude up", "positive"), ("all fell", "negative")),
        "themes.jsonl": THEMES,
        "new.jsonl": moods(("crude up", "neutral")),
    }
    _, read = corpus(tmp_path, files, "added=[{source: corrections, file: new.jsonl, task: sentiment}]")
    assert {(label.task, label.source, label.target) for label in read.training[0].labels} == {
        ("topic", "themes", (1.0, 0.0, 0.0)),
        ("sentiment", "corrections", (0.0, 1.0, 0.0)),
    }


def test_a_text_that_was_added_again_is_read_as_often_as_the_larger_weight_says(tmp_path: Path) -> None:
    files = {
        "moods.jsonl": moods(("crude up", "positive"), ("all fell", "negative")),
        "themes.jsonl": THEMES,
        "new.jsonl": moods(("crude up", "neutral")),
    }
    added = "added=[{source: corrections, file: new.jsonl, task: sentiment, weight: 2}]"
    _, read = corpus(tmp_path, files, added, "data.0.weight=3")
    assert read.training[0].weight == 3


ENTITIES: dict[str, Any] = {
    **TREE,
    "tasks": {"tone": {"kind": "entity", "labels": ["negative", "positive"]}},
    "data": [{"source": "names", "file": "names.jsonl", "task": "tone", "entity": "name"}],
    "held_out": {"share": 0},
}


def named(*rows: tuple[str, str, str]) -> list[dict[str, Any]]:
    return [{"text": text, "name": name, "label": label} for text, name, label in rows]


def test_a_name_in_another_case_is_the_same_name(tmp_path: Path) -> None:
    text = "Apple beats, APPLE hires"
    write_rows(tmp_path / "names.jsonl", named((text, "Apple", "positive"), (text, "APPLE", "negative")))
    config = config_from(ENTITIES)
    (example,) = read_corpus(config, tmp_path).training
    assert [label.target for label in example.labels] == [(0.5, 0.5)]


def test_teachers_speak_once_of_a_name_that_two_sources_write_in_two_cases(tmp_path: Path) -> None:
    text = "Apple beats"
    write_rows(tmp_path / "names.jsonl", named((text, "Apple", "positive"), ("IBM falls", "IBM", "negative")))
    write_rows(tmp_path / "more.jsonl", named((text, "APPLE", "positive")))
    more = {**ENTITIES["data"][0], "source": "more", "file": "more.jsonl"}
    config = config_from({**ENTITIES, "data": [*ENTITIES["data"], more]})

    class Teachers:
        def get(self, text: str, task: str, entity: str | None = None) -> tuple[float, ...]:
            return (0.1, 0.9)

        def is_out_of_fold(self, text: str) -> bool:
            return True

    example = teach(config, read_corpus(config, tmp_path), Teachers()).training[0]
    assert [label.weight for label in example.labels] == [0.5, 0.5]
    assert [label.entity for label in example.teachers] == ["Apple"]


@pytest.mark.parametrize("name", ["Apple", "APPLE", "Apple Inc"])
def test_what_was_added_about_a_name_counts_in_place_of_what_was_said_of_the_same_words(
    tmp_path: Path, name: str
) -> None:
    text = "Apple Inc beats, IBM falls"
    write_rows(tmp_path / "names.jsonl", named((text, name, "positive"), (text, "IBM", "negative")))
    write_rows(tmp_path / "new.jsonl", named((text, "Apple", "negative")))
    added = {**ENTITIES["data"][0], "source": "corrections", "file": "new.jsonl"}
    (example,) = read_corpus(config_from({**ENTITIES, "added": [added]}), tmp_path).training
    assert [(label.entity, label.source) for label in example.labels] == [("IBM", "names"), ("Apple", "corrections")]


def test_teachers_do_not_contradict_what_was_added(tmp_path: Path) -> None:
    files = {
        "moods.jsonl": moods(("a", "positive"), ("b", "negative")),
        "themes.jsonl": THEMES,
        "new.jsonl": moods(("c", "neutral")),
    }
    config, read = corpus(tmp_path, files, "added=[{source: corrections, file: new.jsonl, task: sentiment}]")
    taught = {example.text: example for example in teach(config, read, Teachers()).training}
    assert [label.weight for label in taught["a"].labels] == [0.5]
    assert [(label.source, label.weight) for label in taught["c"].labels] == [("corrections", 1.0)]
    assert (len(taught["a"].teachers), taught["c"].teachers) == (1, ())


def test_nothing_that_was_added_can_be_held_out() -> None:
    with pytest.raises(InvalidInput, match="added: texts that are measured on belong in data"):
        config_from(TREE, ("added=[{source: c, file: new.jsonl, task: sentiment, held_out: true}]",))
    with pytest.raises(InvalidInput, match=r"added\.0\.task: there is no task 'mood'"):
        config_from(TREE, ("added=[{source: c, file: new.jsonl, task: mood}]",))
