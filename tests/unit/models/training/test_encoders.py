"""Encoders by name."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper, save
from support.tiny_models import tiny_encoder
from transformers import AutoModel, BertConfig, BertModel

from domain.errors import PermanentError
from models.load import CHOICES, SHIPPED
from models.openvino_backend import import_openvino
from models.training import encoders
from models.training.encoders import MavenEncoder, convert, encoder_folder

HEADS = 2


@pytest.fixture
def tiny() -> Any:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=60,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        intermediate_size=24,
        max_position_embeddings=20,
    )
    network = BertModel(config, add_pooling_layer=False).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


def test_a_converted_encoder_computes_what_its_onnx_file_computes(tiny: Any, tmp_path: Path) -> None:
    file = _onnx_file(tiny, tmp_path / "tiny.onnx")
    (tmp_path / "tokenizer").write_text("{}")
    convert(file, tmp_path / "tokenizer", tmp_path / "folder", heads=HEADS)
    tokens = np.random.default_rng(0).integers(0, 60, (3, 9))
    with torch.inference_mode():
        network = AutoModel.from_pretrained(tmp_path / "folder", add_pooling_layer=False)
        ours = network(torch.tensor(tokens), attention_mask=torch.ones(3, 9)).last_hidden_state.numpy()
    core = import_openvino().Core()
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    theirs = core.compile_model(core.read_model(str(file)), "CPU", exact)({"tokens": tokens})[0]
    assert np.abs(ours).max() > 0.1
    assert np.abs(ours - theirs).max() < 1e-6
    for name, weight in AutoModel.from_pretrained(tmp_path / "folder", add_pooling_layer=False).state_dict().items():
        assert torch.equal(weight, tiny.state_dict()[name]), name
    assert (tmp_path / "folder" / "tokenizer.json").read_text() == "{}"


def test_an_onnx_file_that_lacks_a_weight_is_refused(tiny: Any, tmp_path: Path) -> None:
    file = _onnx_file(tiny, tmp_path / "tiny.onnx", without="encoder.layer.1.output.dense.bias")
    (tmp_path / "tokenizer").write_text("{}")
    with pytest.raises(PermanentError, match=r"encoder\.layer\.1\.output\.dense\.bias"):
        convert(file, tmp_path / "tokenizer", tmp_path / "folder", heads=HEADS)
    assert not (tmp_path / "folder").exists()


def test_minilm_is_the_installed_one() -> None:
    folder = encoder_folder("minilm")
    assert (folder / "tokenizer.json").exists()
    assert AutoModel.from_pretrained(folder).config.num_hidden_layers == 6


def test_a_folder_is_itself(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "tiny")
    assert encoder_folder(str(folder)) == folder


def test_a_model_that_ships_is_found_by_what_people_choose_it_by() -> None:
    assert encoder_folder("fast") == SHIPPED / CHOICES["fast"]


def test_a_folder_with_pickled_weights_is_refused(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "tiny")
    shutil.move(folder / "model.safetensors", folder / "pytorch_model.bin")
    with pytest.raises(PermanentError, match="safetensors"):
        encoder_folder(str(folder))


def test_a_hub_id_without_a_pinned_revision_is_refused() -> None:
    for revision in (None, "main"):
        with pytest.raises(PermanentError, match="pinned revision"):
            encoder_folder("some/encoder", revision=revision)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(PermanentError, match="minilm, bge-small, fast, accurate, a folder, or a hub id"):
        encoder_folder("nothing")


def test_an_encoder_that_cannot_be_downloaded_leaves_nothing_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M2_REPO", str(tmp_path))
    with pytest.raises(PermanentError, match=r"can't be downloaded.*mvn dependency:get"):
        encoder_folder("bge-small", cache=tmp_path / "cache", repository="http://127.0.0.1:9/maven2")
    assert list((tmp_path / "cache" / "encoders").iterdir()) == []


def test_a_jar_in_the_users_maven_repository_is_converted_and_kept(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jar = tmp_path / "m2" / "org" / "made" / "tiny" / "1.0" / "tiny-1.0.jar"
    jar.parent.mkdir(parents=True)
    (tmp_path / "tokenizer.json").write_text("{}")
    with zipfile.ZipFile(jar, "w") as archive:
        archive.write(_onnx_file(tiny, tmp_path / "tiny.onnx"), "tiny.onnx")
        archive.write(tmp_path / "tokenizer.json", "tokenizer.json")
    digest = hashlib.sha256(jar.read_bytes()).hexdigest()
    source = MavenEncoder(
        group="org.made",
        artifact="tiny",
        version="1.0",
        sha256=digest,
        onnx="tiny.onnx",
        tokenizer="tokenizer.json",
        heads=HEADS,
    )
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    monkeypatch.setattr(encoders, "BGE_SMALL_JAR", source)
    folder = encoder_folder("bge-small", cache=tmp_path / "cache")
    assert AutoModel.from_pretrained(folder).config.num_hidden_layers == 2
    jar.write_bytes(jar.read_bytes() + b"more")
    assert encoder_folder("bge-small", cache=tmp_path / "cache") == folder
    with pytest.raises(PermanentError, match="is not the file expected"):
        encoder_folder("bge-small", cache=tmp_path / "other")
    assert [path for path in (tmp_path / "cache" / "encoders").iterdir() if path != folder] == []


def _onnx_file(network: Any, file: Path, *, without: str = "") -> Path:
    """The network as torch.onnx exports one: names kept but for dense weights, which are transposed constants of
    MatMul nodes that bear their layers' paths."""
    config, weights = network.config, {name: value.numpy() for name, value in network.state_dict().items()}
    nodes, constants = [], {}

    def node(kind: str, *inputs: str, name: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(name: str, value: Any, kind: Any = np.float32) -> str:
        constants[name] = np.asarray(value, dtype=kind)
        return name

    def weight(name: str) -> str:
        return constant(name, np.zeros_like(weights[name]) if name == without else weights[name])

    def dense(value: str, path: str) -> str:
        matrix = constant(f"onnx::MatMul_{len(constants)}", weights[f"{path}.weight"].T)
        product = node("MatMul", value, matrix, name=f"/{path.replace('.', '/').replace('layer/', 'layer.')}/MatMul")
        return node("Add", weight(f"{path}.bias"), product, name=f"{path}:add")

    def norm(value: str, path: str) -> str:
        scale, shift = weight(f"{path}.weight"), weight(f"{path}.bias")
        return node("LayerNormalization", value, scale, shift, name=f"{path}:norm", epsilon=config.layer_norm_eps)

    def heads(value: str, order: list[int]) -> str:
        split = node("Reshape", value, "split", name=f"{value}:split")
        return node("Transpose", split, name=f"{value}:heads", perm=order)

    constant("split", [0, 0, HEADS, config.hidden_size // HEADS], np.int64)
    constant("join", [0, 0, config.hidden_size], np.int64)
    constant("length", np.arange(9), np.int64)
    constant("zero", 0, np.int64)
    constant("scale", (config.hidden_size // HEADS) ** 0.5)
    constant("root", 2**0.5)
    constant("one", 1)
    constant("half", 0.5)
    words = node("Gather", weight("embeddings.word_embeddings.weight"), "tokens", name="words")
    places = node("Gather", weight("embeddings.position_embeddings.weight"), "length", name="places")
    segment = node("Gather", weight("embeddings.token_type_embeddings.weight"), "zero", name="segment")
    hidden = node("Add", node("Add", words, segment, name="both"), places, name="all")
    hidden = norm(hidden, "embeddings.LayerNorm")
    for number in range(config.num_hidden_layers):
        layer = f"encoder.layer.{number}"
        query = heads(dense(hidden, f"{layer}.attention.self.query"), [0, 2, 1, 3])
        key = heads(dense(hidden, f"{layer}.attention.self.key"), [0, 2, 3, 1])
        value = heads(dense(hidden, f"{layer}.attention.self.value"), [0, 2, 1, 3])
        scores = node("MatMul", query, key, name=f"/encoder/layer.{number}/attention/self/MatMul")
        scaled = node("Div", scores, "scale", name=f"{layer}:scaled")
        shares = node("Softmax", scaled, name=f"{layer}:softmax", axis=-1)
        mixed = node("MatMul", shares, value, name=f"/encoder/layer.{number}/attention/self/MatMul_1")
        turned = node("Transpose", mixed, name=f"{layer}:turned", perm=[0, 2, 1, 3])
        joined = node("Reshape", turned, "join", name=f"{layer}:joined")
        answer = node("Add", dense(joined, f"{layer}.attention.output.dense"), hidden, name=f"{layer}:attended")
        hidden = norm(answer, f"{layer}.attention.output.LayerNorm")
        inner = dense(hidden, f"{layer}.intermediate.dense")
        erf = node("Erf", node("Div", inner, "root", name=f"{layer}:root"), name=f"{layer}:erf")
        gate = node("Mul", node("Add", erf, "one", name=f"{layer}:one"), "half", name=f"{layer}:half")
        outer = dense(node("Mul", inner, gate, name=f"{layer}:gelu"), f"{layer}.output.dense")
        hidden = norm(node("Add", outer, hidden, name=f"{layer}:out"), f"{layer}.output.LayerNorm")
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["texts", 9])],
        [helper.make_tensor_value_info(hidden, TensorProto.FLOAT, ["texts", 9, config.hidden_size])],
        [numpy_helper.from_array(value, name) for name, value in constants.items() if name != without],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(file))
    return file
