"""What several teachers say of texts: the mean over those who know least of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray

from domain.errors import InvalidInput
from models.folder import SETTINGS_FILE
from models.load import own_folder
from models.seen import known_of, read_seen, short_hash
from models.training.config import Config
from models.training.examples import Corpus, Example
from models.training.hooks import Report
from models.training.splits import stories
from models.training.teacher import Teacher


@dataclass(frozen=True)
class Ensemble:
    """Teachers that have answered, and who may speak of what; `models.training.hooks.SoftLabels`."""

    teachers: Sequence[Teacher]
    speakers: Mapping[str, Sequence[int]]
    """Text → numbers of the teachers that may speak of it."""
    unseen: frozenset[str]
    """The texts of which those who speak know nothing."""

    def get(self, text: str, task: str, entity: str | None = None) -> Sequence[float] | None:
        """The mean of the probabilities of those who may speak and can; None if there are none."""
        said = [self.teachers[number].says(text, task, entity) for number in self.speakers.get(text, ())]
        answers = [answer for answer in said if answer is not None]
        if not answers:
            return None
        mean: list[float] = np.stack(answers).mean(axis=0, dtype=np.float64).tolist()
        return mean

    def is_out_of_fold(self, text: str) -> bool:
        """Whether nobody who speaks of the text was trained on its story."""
        return text in self.unseen


def soft_labels(
    config: Config, corpus: Corpus, *, device: str, cache: Path | None = None, report: Report = print
) -> Ensemble:
    """The word of `distil.teachers` on every text that the run trains on; see `ask_about`. Those that know what is held
    out are reported: they can teach it."""
    for folder in teacher_folders(config.distil.teachers):
        report_known(folder, corpus, report)
    examples = (*corpus.training, *corpus.unlabelled)
    return ask_about(config, examples, device=device, cache=cache, report=report)


def ask_about(
    config: Config, examples: Sequence[Example], *, device: str, cache: Path | None, report: Report
) -> Ensemble:
    """The word of `distil.teachers` on texts, and on the names labelled in them.

    Answers are kept in `cache` (by default the user's cache folder): a second student costs nothing, and a run that
    was killed goes on where it was. Raises what `open_teachers` raises.
    """
    texts = {
        example.text: list(dict.fromkeys(label.entity for label in example.labels if label.entity is not None))
        for example in examples
    }
    return ask(open_teachers(config, cache=cache), texts, device=device, report=report)


def open_teachers(config: Config, *, cache: Path | None = None) -> list[Teacher]:
    """Those of `distil.teachers`. Raises what `teacher_folders` and `Teacher` raise."""
    place = cache or platformdirs.user_cache_path("groundswell") / "soft-labels"
    folders = teacher_folders(config.distil.teachers)
    return [Teacher(folder, config.tasks, cache=place, bf16=config.bf16) for folder in folders]


def ask(
    teachers: Sequence[Teacher], texts: Mapping[str, Sequence[str]], *, device: str, report: Report = print
) -> Ensemble:
    """Each teacher's word on those of `texts` (with the names in them) of which it may speak.

    Of a text speak the teachers that know least of it: those that were trained neither on it nor on what nearly repeats
    it (another text of its story), so that what they say is out of fold; where there are none, those that were not
    trained on the text itself; else all. A teacher whose folder doesn't say what it was trained on knows no text.
    """
    speakers, unseen = _speakers(list(texts), [read_seen(teacher.folder) for teacher in teachers])
    for number, teacher in enumerate(teachers):
        asked = {text: names for text, names in texts.items() if number in speakers[text]}
        teacher.ask(asked, device=device, report=report)
    return Ensemble(teachers, speakers, unseen)


def teacher_folders(names: Sequence[str]) -> list[Path]:
    """Model folders (also by the names of those that ship), and those in folders that hold several. Raises InvalidInput
    when a name is neither."""
    found = []
    for name in names:
        own = own_folder(name)
        inner = [own] if own is not None else _inner(Path(name))
        if not inner:
            raise InvalidInput(
                "training_config", f"{name} is no model folder, nor one that holds such (no {SETTINGS_FILE})"
            )
        found += inner
    return found


def report_known(folder: Path, corpus: Corpus, report: Report) -> None:
    """Say so where a model that a run learns from or starts with was trained on what the run holds out."""
    if known := known_of(folder, [example.text for example in corpus.held_out]):
        report(f"{folder.name} {known}")


def _speakers(
    texts: Sequence[str], seen: Sequence[frozenset[int]]
) -> tuple[dict[str, tuple[int, ...]], frozenset[str]]:
    """Who speaks of each text, and of which texts these know nothing."""
    hashes = np.array([short_hash(text) for text in texts], dtype=np.uint64)
    groups = np.array(stories(texts), dtype=np.int64)
    known: list[NDArray[np.int64]] = []
    for one in seen:
        itself = np.isin(hashes, np.array(list(one), dtype=np.uint64))
        its_story = np.isin(groups, groups[itself])
        known.append(itself.astype(np.int64) + its_story)
    knows = np.stack(known, axis=1)
    least = knows.min(axis=1)
    speak = knows == least[:, np.newaxis]
    speakers = {text: tuple(np.flatnonzero(row).tolist()) for text, row in zip(texts, speak, strict=True)}
    return speakers, frozenset(text for text, knowledge in zip(texts, least, strict=True) if knowledge == 0)


def _inner(folder: Path) -> list[Path]:
    return sorted(settings.parent for settings in folder.glob(f"*/{SETTINGS_FILE}"))
