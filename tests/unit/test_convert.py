"""Conversion of folders: what is written beside the weights, what is refused, and that nothing is lost."""

import dataclasses
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

from magic_megatron import convert
from magic_megatron.config.model import ModelConfig
from magic_megatron.models.checkpoint_weights import CheckpointReader, write_weights
from magic_megatron.models.huggingface import (
    all_weights,
    huggingface_names,
    split,
    to_huggingface,
    weight_groups,
    weight_shape,
)
from magic_megatron.models.huggingface_config import huggingface_config
from recipes.command import InputError, compose, typed

VOCAB_SIZE = 48


@pytest.fixture(params=["qwen3_moe_tiny", "qwen2_5_tiny"])
def model(request) -> ModelConfig:
    recipe = typed(ModelConfig, compose("sft", [f"model={request.param}", "output_dir=-"]).model)
    return dataclasses.replace(recipe, hidden_size=128, num_attention_heads=4)


@pytest.fixture
def weights(model):
    generator = torch.Generator().manual_seed(1)
    shapes = {name: weight_shape(name, model, VOCAB_SIZE) for name in all_weights(model)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@pytest.fixture
def checkpoint(tmp_path, model, weights):
    """As a run leaves it, but for the optimizer: the recipe leaves the vocabulary open."""
    folder = tmp_path / "step_0000010"
    shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
    write_weights(folder, shapes, torch.float32, weights.__getitem__)
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"model": dataclasses.asdict(model), "seed": 0}))
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    vocabulary = {"a": 0, "<|endoftext|>": 1, "<|im_end|>": 2}
    Tokenizer(models.WordLevel(vocabulary, unk_token="a")).save(str(tokenizer / "tokenizer.json"))
    settings = {"pad_token": "<|endoftext|>", "eos_token": {"content": "<|im_end|>"}}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(settings))
    (tokenizer / "chat_template.jinja").write_text("{{ messages }}")
    return folder


def run(direction, source, target, *overrides):
    convert.main(
        compose("convert", [f"direction={direction}", f"source={source}", f"target={target}", *overrides])
    )


def tensors(folder):
    return {name: t for file in folder.glob("*.safetensors") for name, t in load_file(file).items()}


def test_exported_weights_are_the_mapping_of_the_checkpoints(tmp_path, checkpoint, weights, model):
    run("to_hf", checkpoint, tmp_path / "hf", "max_shard_bytes=200000")
    found, expected = tensors(tmp_path / "hf"), to_huggingface(weights, model)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_index_names_every_tensors_file(tmp_path, checkpoint):
    run("to_hf", checkpoint, tmp_path / "hf", "max_shard_bytes=200000")
    index = json.loads((tmp_path / "hf" / "model.safetensors.index.json").read_text())
    files = sorted(path.name for path in (tmp_path / "hf").glob("*.safetensors"))
    assert files == [f"model-{n:05d}-of-{len(files):05d}.safetensors" for n in range(1, len(files) + 1)]
    assert len(files) > 2
    assert {name: file for file in files for name in load_file(tmp_path / "hf" / file)} == index["weight_map"]
    stored = tensors(tmp_path / "hf")
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in stored.values())


def test_config_and_tokenizer_lie_beside_the_weights(tmp_path, checkpoint, model):
    run("to_hf", checkpoint, tmp_path / "hf", "dtype=bfloat16")
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert (config["vocab_size"], config["torch_dtype"]) == (VOCAB_SIZE, "bfloat16")
    assert (config["bos_token_id"], config["eos_token_id"]) == (1, 2)
    generation = json.loads((tmp_path / "hf" / "generation_config.json").read_text())
    assert generation == {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 1}
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / "hf" / name).read_bytes() == (checkpoint / "tokenizer" / name).read_bytes()
    assert all(tensor.dtype is torch.bfloat16 for tensor in tensors(tmp_path / "hf").values())


def test_a_tokenizer_that_names_no_special_tokens_is_copied_as_it_is(tmp_path, checkpoint):
    (checkpoint / "tokenizer" / "tokenizer_config.json").unlink()
    run("to_hf", checkpoint, tmp_path / "hf")
    assert json.loads((tmp_path / "hf" / "generation_config.json").read_text()) == {}
    assert (tmp_path / "hf" / "tokenizer.json").is_file()


def test_there_and_back_is_exact(tmp_path, checkpoint, weights, model):
    run("to_hf", checkpoint, tmp_path / "hf", "max_shard_bytes=200000")
    run("from_hf", tmp_path / "hf", tmp_path / "back")
    found = CheckpointReader(tmp_path / "back", "source").read(all_weights(model))
    assert all(torch.equal(found[name], weight) for name, weight in weights.items())
    recipe = yaml.safe_load((tmp_path / "back" / "recipe.yaml").read_text())["model"]
    expected = dataclasses.replace(model, name="hf", vocab_size=VOCAB_SIZE)
    assert ModelConfig(**recipe) == expected
    assert (tmp_path / "back" / "tokenizer" / "chat_template.jinja").is_file()
    run("to_hf", tmp_path / "back", tmp_path / "again")
    first, second = tensors(tmp_path / "hf"), tensors(tmp_path / "again")
    assert first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


@pytest.mark.parametrize("given", ["run", "run/checkpoints"])
def test_a_runs_newest_complete_checkpoint_is_taken(tmp_path, checkpoint, given, capsys):
    checkpoints = tmp_path / "run" / "checkpoints"
    checkpoints.mkdir(parents=True)
    newest = checkpoint.rename(checkpoints / "step_10000000")
    for other in (".step_10000010.partial", "step_9999999", "step_10000020"):
        (checkpoints / other).mkdir()
    (checkpoints / "step_9999999" / ".metadata").write_bytes(b"older")
    run("to_hf", tmp_path / given, tmp_path / "hf")
    assert capsys.readouterr().out == f"reading {newest}\nwrote {tmp_path / 'hf'}\n"
    reader = CheckpointReader(tmp_path / given, "init_from")
    name = "embedding.word_embeddings.weight"
    found = tensors(tmp_path / "hf")["model.embed_tokens.weight"]
    assert torch.equal(reader.read([name])[name], found)


def test_a_target_below_a_file_is_refused(tmp_path, checkpoint):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=f"^target={tmp_path}/file: .*; choose another folder"):
        run("to_hf", checkpoint, tmp_path / "file" / "hf")


def test_one_file_without_an_index_is_read_too(tmp_path, checkpoint, weights, model):
    run("to_hf", checkpoint, tmp_path / "hf", "max_shard_bytes=200000")
    everything = tensors(tmp_path / "hf")
    for path in (tmp_path / "hf").glob("model*"):
        path.unlink()
    save_file(everything, tmp_path / "hf" / "model.safetensors")
    run("from_hf", tmp_path / "hf", tmp_path / "back")
    name = all_weights(model)[3]
    found = CheckpointReader(tmp_path / "back", "source").read([name])
    assert torch.equal(found[name], weights[name])


def test_an_existing_target_is_kept_unless_told(tmp_path, checkpoint):
    run("to_hf", checkpoint, tmp_path / "hf")
    before = (tmp_path / "hf" / "config.json").read_bytes()
    with pytest.raises(InputError, match=r"target=.*hf: exists; .* overwrite=true"):
        run("to_hf", checkpoint, tmp_path / "hf", "dtype=bfloat16")
    assert (tmp_path / "hf" / "config.json").read_bytes() == before
    run("to_hf", checkpoint, tmp_path / "hf", "dtype=bfloat16", "overwrite=true")
    assert (tmp_path / "hf" / "config.json").read_bytes() != before
    assert not list(tmp_path.glob(".hf*"))


def test_a_folder_of_other_things_is_never_overwritten(tmp_path, checkpoint):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("…")
    with pytest.raises(InputError, match="holds no earlier conversion"):
        run("to_hf", checkpoint, tmp_path / "thesis", "overwrite=true")
    assert (tmp_path / "thesis" / "chapter.tex").is_file()


def truncate_to_header(shard, index):
    shard.write_bytes(shard.read_bytes()[:100])


def truncate_data(shard, index):
    shard.write_bytes(shard.read_bytes()[:-1])


def remove(shard, index):
    shard.unlink()


def index_names_a_tensor_that_is_elsewhere(shard, index):
    listed = json.loads(index.read_text())
    listed["weight_map"]["model.norm.weight"] = "model-00001-of-" + shard.name[-17:]
    index.write_text(json.dumps(listed))


def index_lacks_a_tensor(shard, index):
    listed = json.loads(index.read_text())
    del listed["weight_map"]["model.layers.1.self_attn.k_proj.weight"]
    index.write_text(json.dumps(listed))


def index_ends_early(shard, index):
    index.write_text(index.read_text()[:50])


def index_is_of_something_else(shard, index):
    index.write_text('{"weights": []}')


def config_ends_early(shard, index):
    index.with_name("config.json").write_text('{"model_type":')


def config_is_of_another_model(shard, index):
    path = index.with_name("config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "hidden_size": 64}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate_to_header, r"model-\S+ is missing or damaged \(.*\); copy it again"),
        (truncate_data, r"model-\S+ is missing or damaged \(.*\); copy it again"),
        (remove, r"model-\S+ is missing or damaged \(No such file.*\); copy it again"),
        (
            index_names_a_tensor_that_is_elsewhere,
            r"\S+index\.json names model\.norm\.weight in model-00001-of-\d+\.safetensors, where it isn't",
        ),
        (index_lacks_a_tensor, r"tensor model\.layers\.1\.self_attn\.k_proj\.weight is missing; give the"),
        (index_ends_early, r"model\.safetensors\.index\.json is damaged \(.*\); copy it again"),
        (index_is_of_something_else, r"model\.safetensors\.index\.json is damaged \('weight_map'\)"),
        (config_ends_early, r"config\.json is damaged \(.*\); copy it again"),
        (config_is_of_another_model, r"\S+ is \[.*\], by config\.json \[.*\]; give weights and config\.json"),
    ],
)
def test_a_damaged_folder_is_refused_before_anything_is_written(tmp_path, checkpoint, damage, message):
    run("to_hf", checkpoint, tmp_path / "hf", "max_shard_bytes=200000")
    index = tmp_path / "hf" / "model.safetensors.index.json"
    damage(sorted((tmp_path / "hf").glob("*.safetensors"))[-1], index)
    where_nothing_can_be_written = checkpoint / "recipe.yaml" / "back"
    with pytest.raises(InputError, match=f"^source={tmp_path}/hf: {message}"):
        run("from_hf", tmp_path / "hf", where_nothing_can_be_written)


@pytest.fixture
def smallest_file():
    """Files can't grow beyond 100 KB: as on a disk that somebody else fills meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("direction", ["to_hf", "from_hf"])
def test_a_disk_that_fills_up_leaves_nothing(tmp_path, checkpoint, direction, request):
    source = checkpoint
    if direction == "from_hf":
        source = tmp_path / "hf"
        run("to_hf", checkpoint, source)
    request.getfixturevalue("smallest_file")
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(
        InputError, match=f"^target={tmp_path}/out: can't be written .*File too large.*make room"
    ):
        run(direction, source, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == before


def sparse_model(folder, model):
    """A Hugging Face folder, a file per layer, of which no weight is stored: holes in files take no room."""
    folder.mkdir()
    fields = huggingface_config(model, vocab_size=VOCAB_SIZE, dtype="float32", bos=None, eos=1)
    (folder / "config.json").write_text(json.dumps(fields))
    weight_map = {}
    for number, group in enumerate(weight_groups(model)):
        header, end = {}, 0
        for name in group:
            weight = torch.empty(weight_shape(name, model, VOCAB_SIZE), device="meta")
            for part_name, part in zip(huggingface_names(name), split(name, weight, model), strict=True):
                start, end = end, end + part.numel() * 4
                header[part_name] = {"dtype": "F32", "shape": part.shape, "data_offsets": [start, end]}
        text = json.dumps(header).encode()
        path = folder / f"{number}.safetensors"
        path.write_bytes(len(text).to_bytes(8, "little") + text)
        os.truncate(path, 8 + len(text) + end)
        weight_map |= dict.fromkeys(header, path.name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_too_little_room_is_seen_before_a_byte_is_written(tmp_path):
    layers = 2 + int(2 * shutil.disk_usage(tmp_path).free / 2e9)  # of 2 GB, so that any machine can map one
    recipe = typed(ModelConfig, compose("sft", ["model=qwen3_tiny", "output_dir=-"]).model)
    model = dataclasses.replace(recipe, num_hidden_layers=layers, intermediate_size=int(2e9 / 4 / 3 / 64))
    sparse_model(tmp_path / "hf", model)
    with pytest.raises(
        InputError, match=r"^target=.*/back: [\d.]+ GB of weights, but [\d.]+ GB are free there"
    ):
        run("from_hf", tmp_path / "hf", tmp_path / "back")
    assert not list(tmp_path.glob("*back*"))


def test_a_checkpoint_larger_than_the_disk_is_refused_too(tmp_path, checkpoint, model):
    path = checkpoint / ".metadata"
    metadata = pickle.loads(path.read_bytes())
    rows = shutil.disk_usage(tmp_path).free * 2 // (model.hidden_size * 4)
    for name in ("embedding.word_embeddings.weight", "output_layer.weight"):
        if name in metadata.state_dict_metadata:
            metadata.state_dict_metadata[name].size = torch.Size([rows, model.hidden_size])
    path.write_bytes(pickle.dumps(metadata))
    with pytest.raises(
        InputError, match=r"^target=.*/hf: [\d.]+ GB of weights, but [\d.]+ GB are free there"
    ):
        run("to_hf", checkpoint, tmp_path / "hf")
    assert not list(tmp_path.glob("*hf*"))


def test_a_checkpoint_with_another_runs_recipe_is_refused(tmp_path, checkpoint, model):
    other = dataclasses.asdict(dataclasses.replace(model, hidden_size=64))
    (checkpoint / "recipe.yaml").write_text(yaml.safe_dump({"model": other}))
    with pytest.raises(InputError, match=r"word_embeddings\.weight is \[48, 128\] there, \[48, 64\] by its"):
        run("to_hf", checkpoint, tmp_path / "hf")


@pytest.mark.parametrize(
    ("missing", "message"),
    [("recipe.yaml", "recipe.yaml is missing"), (".metadata", "no checkpoint there; give a run's folder")],
)
def test_an_incomplete_checkpoint_is_refused(tmp_path, checkpoint, missing, message):
    (checkpoint / missing).unlink()
    with pytest.raises(InputError, match=message):
        run("to_hf", checkpoint, tmp_path / "hf")


def test_a_truncated_shard_is_refused(tmp_path, checkpoint):
    shard = max(checkpoint.glob("*.distcp"), key=lambda path: path.stat().st_size)
    shard.write_bytes(shard.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"source=.*: a shard is damaged"):
        run("to_hf", checkpoint, tmp_path / "hf")
    assert not (tmp_path / "hf").exists()


def test_an_unknown_architecture_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(InputError, match=r"source=.*: model_type=llama: unknown architecture"):
        run("from_hf", tmp_path, tmp_path / "back")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["direction=sideways", "source=.", "target=x"], "direction=sideways: "),
        (["direction=to_hf", "source=nowhere", "target=x"], "source=nowhere: no such folder"),
        (["direction=to_hf", "source=.", "target=."], "target=.: is the source"),
        (["direction=to_hf", "source=.", "target=x", "max_shard_bytes=0"], "max_shard_bytes=0: must be"),
        (["direction=from_hf", "source=.", "target=x"], "source=.: config.json is missing"),
        (["direction=to_hf", "source=."], "target: missing"),
    ],
)
def test_bad_input_is_one_line(overrides, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refusal:
        convert.main(compose("convert", overrides))
    assert message in str(refusal.value)


def test_the_command_reports_in_one_line(tmp_path):
    command = [
        sys.executable,
        "-m",
        "magic_megatron.convert",
        "direction=to_hf",
        "source=nowhere",
        "target=x",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 2
    assert done.stderr == "error: source=nowhere: no such folder; give the folder to convert\n"
