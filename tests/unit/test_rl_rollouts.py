"""The rollouts on disk: what was written comes back, whole files or none, and broken lines are told by line."""

import dataclasses
import json
import math

import pytest
import rollout_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from magic_megatron.rl.rollouts import RolloutWriter, Sample, TokenTexts, read
from recipes.command import InputError

TEXT = st.text(st.characters(codec=None), max_size=30)  # lone surrogates and control characters too
FLOAT = st.floats(allow_nan=False, allow_infinity=False)
TOKENIZER = rollout_rows.tokenizer()


@st.composite
def samples(draw):
    ids = draw(st.lists(st.integers(0, 151_935), max_size=6))

    def per_token(values):
        return st.lists(values, min_size=len(ids), max_size=len(ids))

    return Sample(
        step=7,
        group=draw(TEXT),
        sample=draw(st.integers(0, 63)),
        turn=draw(st.integers(0, 49)),
        task=draw(TEXT),
        prompt=draw(TEXT),
        response=draw(TEXT),
        prompt_ids=draw(st.lists(st.integers(0, 151_935), max_size=6)),
        response_ids=ids,
        tokens=draw(per_token(TEXT)),
        log_probs=draw(st.none() | per_token(FLOAT)),
        entropies=draw(st.none() | per_token(FLOAT | st.none())),
        segments=draw(per_token(st.integers(0, 2))),
        reward=draw(FLOAT),
        parts=draw(st.dictionaries(TEXT, FLOAT | st.none(), max_size=3)),
        reason=draw(TEXT),
        advantage=draw(st.none() | FLOAT),
        won=draw(st.none() | st.booleans()),
        valid=draw(st.none() | st.booleans()),
        lost=draw(st.booleans()),
    )


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    rollout_rows.save(folder, steps=(1, 2, 12))
    return folder


@pytest.fixture(scope="module")
def sample(run_folder):
    return next(read(run_folder))


@given(st.lists(samples(), max_size=4))
@settings(max_examples=60)
def test_what_was_written_comes_back(tmp_path_factory, written):
    folder = tmp_path_factory.mktemp("any")
    path = RolloutWriter(folder).write(7, written)
    assert list(read(path)) == written
    assert path.read_bytes().count(b"\n") == len(written)


def test_a_run_a_folder_and_files_give_the_same(run_folder):
    whole = list(read(run_folder))
    assert whole == rollout_rows.save(run_folder.parent / "again", steps=(1, 2, 12))
    assert whole == list(read(run_folder / "rollouts"))
    files = [run_folder / f"rollouts/{step:06d}.jsonl" for step in (1, 2, 12)]
    assert whole == list(read(files))


def test_steps_choose(run_folder):
    assert {sample.step for sample in read(run_folder, range(2, 20))} == {2, 12}
    assert {sample.step for sample in read(run_folder / "rollouts/000012.jsonl", [12])} == {12}
    assert not list(read(run_folder / "rollouts/000012.jsonl", [1]))
    with pytest.raises(InputError, match="none of the wanted steps; it has 3 from 1 to 12"):
        list(read(run_folder, [3]))


def test_numbers_that_are_not_finite_are_unknown(tmp_path, sample):
    num_tokens = len(sample.tokens)
    broken = dataclasses.replace(
        sample,
        log_probs=[-math.inf, *sample.log_probs[1:]],
        entropies=[math.nan] * num_tokens,
        advantage=math.nan,
    )
    path = RolloutWriter(tmp_path).write(sample.step, [broken])
    assert "NaN" not in path.read_text() and "Infinity" not in path.read_text()
    back = next(read(path))
    assert back.log_probs == [None, *sample.log_probs[1:]]
    assert back.entropies == [None] * num_tokens and back.advantage is None


def test_a_reward_that_is_not_finite_is_refused_and_leaves_the_last_file(tmp_path, sample):
    writer = RolloutWriter(tmp_path)
    path = writer.write(sample.step, [sample])
    with pytest.raises(ValueError, match="not JSON compliant"):
        writer.write(sample.step, [sample, dataclasses.replace(sample, reward=math.nan)])
    assert list(read(path)) == list(read(tmp_path)) == [sample]
    assert writer.write(sample.step, [sample, sample]) == path
    assert list(read(tmp_path)) == [sample, sample] and [file.name for file in tmp_path.iterdir()] == [
        path.name
    ]


def test_values_per_token_agree_in_number(sample):
    with pytest.raises(ValueError, match=r"segments has 1 values for \d+ response_ids"):
        dataclasses.replace(sample, segments=[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: line[: len(line) // 2], "no JSON"),
        (lambda line: "[" * 100_000, "no JSON"),
        (lambda line: "[1]", "dictionary"),
        (lambda line: line.replace('"turn": 0', '"turn": "first"'), "turn: Input should be a valid integer"),
        (lambda line: line.replace('"prompt_ids"', '"ids"'), "prompt_ids: Field required"),
        (lambda line: line.replace('"segments": [', '"segments": [0, '), r"segments has \d+ values for"),
        (lambda line: line.replace('"segments": [0', '"segments": [null'), r"segments\.0: Input should be"),
    ],
)
def test_a_broken_line_is_told(tmp_path, sample, change, message):
    path = RolloutWriter(tmp_path).write(sample.step, [sample])
    line = path.read_text().rstrip("\n")
    assert change(line) != line
    path.write_text(f"{line}\n\n{change(line)}\n")
    with pytest.raises(InputError, match=f"rollouts={path}: line 3: .*{message}.*; the file isn't whole"):
        list(read(path))


def test_unknown_values_may_be_absent(tmp_path, sample):
    path = RolloutWriter(tmp_path).write(sample.step, [sample])
    record = json.loads(path.read_text())
    names = ("log_probs", "entropies", "advantage", "won", "valid")
    path.write_text(json.dumps({key: value for key, value in record.items() if key not in names}))
    assert next(read(path)) == dataclasses.replace(sample, **dict.fromkeys(names))


def test_where_nothing_is(tmp_path):
    with pytest.raises(InputError, match=r"train_only=.*nowhere: not there; give a run's output_dir"):
        list(read(tmp_path / "nowhere", key="train_only"))
    with pytest.raises(InputError, match=r"rollouts=.*: no rollouts/000001.jsonl"):
        list(read(tmp_path))


PIECES = st.sampled_from(
    ["take the apple", "去厨房", "🧭", "\n", "é", "<|im_end|>", "\u202e", "👩‍👩‍👧"]
) | st.text(max_size=8)


@given(st.lists(PIECES, max_size=8).map("".join))
@settings(max_examples=100)
def test_texts_of_tokens_join_to_the_text(text):
    ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    texts = TokenTexts(TOKENIZER)(ids)
    assert len(texts) == len(ids) and "".join(texts) == TOKENIZER.decode(ids) == text


def test_bytes_that_are_no_text_are_told_at_once():
    first, second = TOKENIZER("é", add_special_tokens=False)["input_ids"]
    (letter,) = TOKENIZER("a", add_special_tokens=False)["input_ids"]
    texts = TokenTexts(TOKENIZER)
    assert texts([first, second, letter]) == ["", "é", "a"]
    assert "".join(texts([first] * 9)) == TOKENIZER.decode([first] * 9) == "\ufffd" * 9
    assert texts([letter, first]) == ["a", "\ufffd"]
