"""What stands before a promotion."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fake_registry import FakeModelRegistry
from support.model_folders import variant

from domain.classification import ModelRef
from domain.errors import InvalidInput, PermanentError
from domain.registry import RegisteredModel
from models import figures
from models.figures import Measured
from models.folder import OPENVINO_FILES, TOKENIZER_FILE
from models.load import DEFAULT_MODEL, SHIPPED
from service import promotion
from service.settings import load
from service.stream_models import ModelLoader

LOADER = ModelLoader(load(environment={}, overrides={"model.device": "cpu"}, find_running=False).settings)


@pytest.fixture
def registry() -> FakeModelRegistry:
    return FakeModelRegistry()


def promote(registry: FakeModelRegistry, wanted: str, *, force: bool = False) -> promotion.Promoted:
    return promotion.promote(registry, LOADER, wanted, by="ann", reason="better", force=force)


def measure(folder: Path, accuracy: float) -> None:
    figures.keep(folder, "headlines", Measured(task="sentiment", data="d1", rows=1000, accuracy=accuracy))


def test_a_folder_is_registered_where_it_lies_and_a_shipped_model_by_its_name(
    registry: FakeModelRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = variant(tmp_path / "tone")
    measure(tmp_path / "tone", 0.9)
    monkeypatch.chdir(tmp_path)

    ours = promotion.register(registry, "tone")
    ships = promotion.register(registry, DEFAULT_MODEL)

    assert (ours.ref, ours.location) == (settings.ref, str(tmp_path / "tone"))
    assert ours.figures["headlines"]["accuracy"] == 0.9
    assert ships.location == DEFAULT_MODEL
    assert promotion.register(registry, str(SHIPPED / DEFAULT_MODEL)).location == DEFAULT_MODEL


def test_what_is_no_model_folder_or_is_damaged_is_not_registered(registry: FakeModelRegistry, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="no model"):
        promotion.register(registry, str(tmp_path / "nothing"))
    variant(tmp_path / "unsealed", files={})
    with pytest.raises(PermanentError, match="never sealed"):
        promotion.register(registry, str(tmp_path / "unsealed"))
    variant(tmp_path / "damaged")
    tokenizer = tmp_path / "damaged" / TOKENIZER_FILE
    tokenizer.unlink()
    tokenizer.write_text("{}")
    with pytest.raises(PermanentError, match=r"tokenizer\.json is not the file"):
        promotion.register(registry, str(tmp_path / "damaged"))
    assert registry.models() == []


def test_a_fit_model_is_promoted_on_record(registry: FakeModelRegistry, tmp_path: Path) -> None:
    settings = variant(tmp_path)
    promotion.register(registry, str(tmp_path))

    done = promote(registry, f"variant@{settings.ref.version[:4]}")

    assert done.compared == ()
    assert (done.promotion.model, done.promotion.replaced) == (settings.ref, None)
    assert (done.promotion.by, done.promotion.reason, done.promotion.forced) == ("ann", "better", False)
    with pytest.raises(InvalidInput, match="in force already"):
        promote(registry, "variant")


@pytest.mark.parametrize(
    ("missing", "said"), [(OPENVINO_FILES[1], r"cannot read .*model\.bin"), ("groundswell.json", "no model")]
)
def test_a_model_whose_folder_is_not_whole_any_more_is_not_promoted(
    registry: FakeModelRegistry, tmp_path: Path, missing: str, said: str
) -> None:
    variant(tmp_path)
    promotion.register(registry, str(tmp_path))
    (tmp_path / missing).unlink()
    with pytest.raises(PermanentError, match=said):
        promote(registry, "variant")
    assert registry.promotions() == []


def test_a_folder_that_became_another_model_is_not_promoted(registry: FakeModelRegistry, tmp_path: Path) -> None:
    variant(tmp_path / "tone")
    first = promotion.register(registry, str(tmp_path / "tone"))
    other = variant(tmp_path / "other", temperature=2.0)
    (tmp_path / "other").rename(tmp_path / "swapped")
    (tmp_path / "tone").rename(tmp_path / "away")
    (tmp_path / "swapped").rename(tmp_path / "tone")
    with pytest.raises(PermanentError, match=f"holds {other.ref}, not {first.ref}"):
        promote(registry, "variant")


def test_a_model_without_a_task_of_the_stream_is_not_promoted(registry: FakeModelRegistry, tmp_path: Path) -> None:
    variant(tmp_path, tasks={"sentiment": ("negative", "neutral", "positive")}, temperatures={})
    promotion.register(registry, str(tmp_path))
    with pytest.raises(PermanentError, match="has no task topic"):
        promote(registry, "variant")


def test_a_worse_model_is_promoted_only_by_force_and_that_is_on_record(
    registry: FakeModelRegistry, tmp_path: Path
) -> None:
    for number, accuracy in enumerate((0.90, 0.88), start=1):
        variant(tmp_path / str(number), name=f"m{number}", temperature=number)
        promotion.register(registry, str(tmp_path / str(number)))
        # Measured after it was registered: what counts is what stands in the folder when it is promoted.
        measure(tmp_path / str(number), accuracy)
    promote(registry, "m1")

    with pytest.raises(InvalidInput, match=r"is worse: sentiment: accuracy 0\.8800, the champion has 0\.9000"):
        promote(registry, "m2")
    done = promote(registry, "m2", force=True)

    assert done.promotion.forced
    back = promotion.rollback(registry, by="ann", reason="")
    assert back.model == done.promotion.replaced
    measure(tmp_path / "2", 0.95)
    assert not promote(registry, "m2", force=True).promotion.forced, "force that was not needed is not on record"


def test_a_model_is_found_by_what_tells_it_from_the_others() -> None:
    models = [
        RegisteredModel(
            ref=ModelRef(name=name, version=version),
            location="/",
            registered_at=FakeModelRegistry()
            .register(ModelRef(name=name, version=version), location="/", figures={})
            .registered_at,
        )
        for name, version in (("tone", "3fa1"), ("tone", "3fb2"), ("mood", "77"))
    ]
    assert promotion.find(models, "tone@3fa1").ref.version == "3fa1"
    assert promotion.find(models, "tone@3fb").ref.version == "3fb2"
    assert promotion.find(models, "mood").ref.version == "77"
    with pytest.raises(InvalidInput, match="may be tone@3fa1 or tone@3fb2"):
        promotion.find(models, "tone@3f")
    with pytest.raises(InvalidInput, match=r"no model calm is registered \(tone@3fa1, tone@3fb2, mood@77\)"):
        promotion.find(models, "calm")
