"""Makes the int8 OpenVINO model of a model folder and seals it: `python -m models.export FOLDER`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from domain.errors import GroundswellError, InvalidInput, PermanentError
from models.convert import calibration_batches, calibration_sentences, convert
from models.folder import ADAPTER_FILES, OPENVINO_FILES, ModelSettings, read_settings, seal
from models.load import load_tokenizer
from models.network import load_network


def export(folder: Path, calibration: Sequence[str], *, int8: bool = True) -> ModelSettings:
    """Write `openvino/model.xml` and `.bin` into the folder and seal it.

    int8: static quantisation (`models.convert.convert`), its ranges calibrated on `calibration`, some hundred texts
    like those that will be read; they are not kept.

    Raises PermanentError when the model was trained with method prefix, InvalidInput when int8 has nothing to be
    calibrated on.
    """
    settings = read_settings(folder)
    if ADAPTER_FILES[0] in settings.files:
        raise PermanentError(
            f"{folder} has learnt prefixes, which OpenVINO's file can't hold: it is served through torch; "
            "train with method full or lora to have an int8 model"
        )
    batches = None
    if int8:
        if not calibration:
            raise InvalidInput("calibration", "int8 needs texts to take its ranges from, and there is none")
        batches = calibration_batches(load_tokenizer(folder), calibration, longest=settings.window_tokens)
    convert(load_network(folder, settings), list(settings.tasks), folder / OPENVINO_FILES[0], calibration=batches)
    return seal(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m models.export", description=__doc__)
    parser.add_argument("folder", type=Path, help="a model folder")
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="texts like those that will be read, one a line; by default sentences that come with the project",
    )
    parser.add_argument("--fp32", action="store_true", help="do not quantise")
    options = parser.parse_args(arguments)
    try:
        print(export(options.folder, _texts(options.calibration), int8=not options.fp32).ref)
    except GroundswellError as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


def _texts(file: Path | None) -> list[str]:
    if file is None:
        return calibration_sentences()
    try:
        return [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("calibration", f"cannot read {file}: {error}") from error


if __name__ == "__main__":
    main()
