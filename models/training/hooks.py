"""What may be put into a training run from outside: who hears of it, soft labels, augmentation, an attack."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.training.examples import Example

Report = Callable[[str], None]
"""Takes one line of progress."""

Watch = Callable[[int, float], None]
"""Takes the number of an epoch, from 1, and its score on what is held out."""


class SoftLabels(Protocol):
    """What teachers say of texts."""

    def get(self, text: str, task: str, entity: str | None = None) -> Sequence[float] | None:
        """Probabilities of the task's labels, in their order, for a normalised text (and a normalised name in it, for
        tasks of kind entity), before `distil.temperature`; None where no teacher was asked. They sum to 1, or stand
        each for itself where the task is of kind multi."""
        ...

    def is_out_of_fold(self, text: str) -> bool:
        """Whether none of those who speak of the text was trained on it, nor on what nearly repeats it."""
        ...


class Augmentation(Protocol):
    """Changes training texts, anew in every epoch."""

    def __call__(self, example: Example, rng: random.Random) -> Example:
        """The example with another text, with labels that are true of it, and with the names that it mentions now: a
        label of a name that it doesn't mention is lost for this epoch. All chance comes from `rng`, so that a run can
        be repeated."""
        ...


class Attack(Protocol):
    """Adversarial training: takes one training step's passes in hand."""

    def __call__(self, network: nn.Module, backward: Callable[[], Tensor]) -> Tensor:
        """Call `backward`, which runs the batch at hand forward and back and adds to the weights' gradients, as often
        as needed with the network's embeddings changed, leave them as they were, and return the loss to report."""
        ...
