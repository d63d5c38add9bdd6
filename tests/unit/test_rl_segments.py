"""Think and action marks on a real byte-level BPE, wherever its tokens split tags and characters."""

import time
from itertools import pairwise

import pytest
from export_rows import assistant, row, scheduling_row, user, write_rows
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from data_synth.writers import tokenizer as tokenizers
from data_synth.writers.rows import sample_rows
from magic_megatron.rl.segments import mark
from recipes.command import InputError

TAGS = (b"<think>", b"</think>", b"<action>", b"</action>")
BYTE_CHARACTERS = sorted(pre_tokenizers.ByteLevel.alphabet())


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """With Qwen3's special tokens, ``<think>`` among them; ``<action>`` is text to it."""
    folder = tmp_path_factory.mktemp("tokenizer")
    answers = [
        f"<think>\n先去桌子 {i} 看一看\n</think>\n\n<action>go to desk {i}</action>" for i in range(200)
    ]
    rows = [row(1000 + i, [user("go"), assistant(answer)]) for i, answer in enumerate(answers)]
    path = write_rows(folder / "data.jsonl", [*(scheduling_row(i) for i in range(100)), *rows])
    tokenizers.train(sample_rows([str(path)], 10_000, 64), 576, folder / "tokenizer")
    return tokenizers.load(folder / "tokenizer", str(folder))


@pytest.fixture(scope="module")
def alphabet(tokenizer):
    """Byte of each token that stands for one byte, and back."""
    encode = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str
    printable = {chr(byte): byte for byte in range(256) if chr(byte) in BYTE_CHARACTERS}
    others = [byte for byte in range(256) if byte not in printable.values()]
    assert encode("\n")[0][0] == chr(256 + others.index(10))
    table = printable | {chr(256 + i): byte for i, byte in enumerate(others)}
    return {byte: tokenizer.convert_tokens_to_ids(character) for character, byte in table.items()}


def marks_of(text, tokenizer, thinking=False):
    """Each token's text and mark."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    return list(zip([tokenizer.decode([i]) for i in ids], mark(ids, tokenizer, thinking), strict=True))


def text_at(value, text, tokenizer, thinking=False):
    return "".join(token for token, own in marks_of(text, tokenizer, thinking) if own == value)


def test_think_and_action(tokenizer):
    text = "<think>\nlook at desk 1</think>\n\n<action>go to desk 1</action><|im_end|>"
    assert text_at(1, text, tokenizer) == "\nlook at desk 1"
    assert text_at(2, text, tokenizer) == ">go to desk 1"  # one token holds >go
    assert marks_of(text, tokenizer)[-1] == ("<|im_end|>", 0)
    assert ("<think>", 0) in marks_of(text, tokenizer)


def test_without_an_action_tag_all_that_follows_the_thought_acts(tokenizer):
    text = '<think>two steps</think>{"plan": []}<|im_end|>'
    assert text_at(1, text, tokenizer) == "two steps"
    assert text_at(2, text, tokenizer) == '{"plan": []}'


def test_an_action_tag_in_a_thought_is_thought(tokenizer):
    text = "<think>I write <action>go</action> next</think>done"
    assert text_at(1, text, tokenizer) == "I write <action>go</action> next"
    assert text_at(2, text, tokenizer) == "done"


def test_several_thoughts_and_actions(tokenizer):
    text = "<think>a</think> x <action>b</action> y <think>c</think> z <action>d</action> w"
    assert text_at(1, text, tokenizer) == "ac"
    assert text_at(2, text, tokenizer) == "bd"


@pytest.mark.parametrize(
    ("text", "thought", "action"),
    [
        ("<think>never closed", "never closed", ""),
        ("<think>a</think><action>never closed", "a", "never closed"),
        ("no tags at all", "", ""),
        ("<action>go</action>", "", ">go"),
        ("thought of a prompt that opened it</think>go", "", "go"),
        ("</action>stray", "", ""),
        ("", "", ""),
    ],
)
def test_broken_formats(tokenizer, text, thought, action):
    assert text_at(1, text, tokenizer) == thought
    assert text_at(2, text, tokenizer) == action


def test_a_thought_that_the_prompt_opened(tokenizer):
    text = "look first</think>go"
    assert text_at(1, text, tokenizer, thinking=True) == "look first"
    assert text_at(2, text, tokenizer, thinking=True) == "go"


def test_a_token_that_shares_a_tag_belongs_to_what_it_shares_it_with(tokenizer):
    """Qwen's split pattern joins the end of a tag to the word after it."""
    marks = marks_of("<think>a</think>\n\n<action>go to desk 1</action>\n", tokenizer)
    assert (">go", 2) in marks
    tag = [(token, own) for token, own in marks if "action" in token]
    assert tag == [("<action", 0), ("action", 0)]
    assert marks[-1] == (">\n", 0)


def test_a_character_split_over_tokens(tokenizer, alphabet):
    text = "<think>思</think>行".encode()
    marks = mark([alphabet[byte] for byte in text], tokenizer)
    assert marks == [0] * 7 + [1] * 3 + [0] * 8 + [2] * 3


def test_a_special_token_ends_a_tag_that_it_interrupts(tokenizer, alphabet):
    ids = [alphabet[byte] for byte in b"<thi"]
    ids += [tokenizer.convert_tokens_to_ids("<|im_end|>"), *(alphabet[byte] for byte in b"nk>a")]
    assert mark(ids, tokenizer) == [0] * len(ids)


def naive_marks(text):
    """Byte by byte: 4 for tags."""
    state, i = "outside", 0
    visible = {"outside": TAGS, "after": TAGS, "think": (b"</think>",), "action": (b"</action>",)}
    after = {b"<think>": "think", b"</think>": "after", b"<action>": "action", b"</action>": "outside"}
    states, acted = [], False
    while i < len(text):
        tag = next((tag for tag in visible[state] if text[i : i + len(tag)] == tag), None)
        if tag:
            states += ["tag"] * len(tag)
            i, state = i + len(tag), after[tag]
            acted = acted or state == "action"
        else:
            states.append(state)
            i += 1
    value = {"outside": 0, "think": 1, "action": 2, "tag": 4, "after": 0 if acted else 2}
    return [value[state] for state in states]


FRAGMENTS = st.one_of(
    st.sampled_from(
        ["<think>", "</think>", "<action>", "</action>", "<", "<think", "action>", "\n", "思考", "行动 😀"]
    ),
    st.text(max_size=6),
)


@given(st.lists(FRAGMENTS, max_size=12).map("".join), st.data())
def test_any_split_into_tokens_is_marked_by_its_bytes(tokenizer, alphabet, text, data):
    """Cut the bytes anywhere, spell some cuts as single bytes and others as the tokenizer would."""
    raw = text.encode()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(raw)), max_size=8)) | {0, len(raw)})
    ids, spans = [], []
    for start, end in pairwise(cuts):
        chunk = raw[start:end]
        try:
            tokens = tokenizer.backend_tokenizer.model.tokenize(
                "".join(piece for piece, _ in BYTES.pre_tokenize_str(chunk.decode()))
            )
            chunk_ids = [token.id for token in tokens]
        except UnicodeDecodeError:
            chunk_ids = [alphabet[byte] for byte in chunk]
        sizes = [len(tokenizer.convert_ids_to_tokens(i)) for i in chunk_ids]
        assert sum(sizes) == len(chunk)
        ids += chunk_ids
        for size in sizes:
            spans.append((start, start + size))
            start += size
    naive = naive_marks(raw)
    expected = [next((own for own in naive[start:end] if own in (1, 2)), 0) for start, end in spans]
    assert mark(ids, tokenizer) == expected


BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def test_time_is_linear(tokenizer):
    ids = tokenizer.encode("<think>a <acti</think>b<action>", add_special_tokens=False)
    times = []
    for number in (500, 4000):
        repeated = ids * number
        mark(repeated, tokenizer)
        best = float("inf")
        for _ in range(3):
            started = time.perf_counter()
            mark(repeated, tokenizer)
            best = min(best, time.perf_counter() - started)
        times.append(best)
    assert times[1] < 30 * times[0]  # 8 when linear, 64 when quadratic


def test_a_tokenizer_of_another_kind_is_refused():
    words = Tokenizer(models.WordLevel({"▁go": 0, "[UNK]": 1}, unk_token="[UNK]"))
    other = PreTrainedTokenizerFast(tokenizer_object=words)
    with pytest.raises(InputError, match="isn't byte-level BPE"):
        mark([0], other)
