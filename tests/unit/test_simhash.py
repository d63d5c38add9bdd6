"""SimHash against its definition, the index against comparing everything with everything."""

import hashlib
import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_synth.filters.simhash import SimHashIndex, features, simhash, simhashes

DISTANCES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 20, 64]


def naive_simhash(text: str) -> int:
    """Manku's definition, bit by bit: a feature's weight counts for or against each of its bits."""
    total = [0] * 64
    for feature, weight in Counter(features(text)).items():
        number = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "little")
        for bit in range(64):
            total[bit] += weight if number >> bit & 1 else -weight
    return sum(1 << bit for bit in range(64) if total[bit] > 0)


@given(st.text(alphabet="ab cdé,.12 查询天气北京\n", max_size=80))
def test_equals_the_definition(text):
    assert simhash(text) == naive_simhash(text)


def test_features_are_words_and_pairs_of_characters():
    assert features("Book a Flight, 2 seats!") == ["book", "a", "flight", "2", "seats"]
    assert features("查询 Paris的天气") == ["查询", "paris", "的天", "天气"]
    assert features(" ,!？ ") == []


def test_a_batch_equals_one_by_one():
    texts = [" ".join(random.Random(i).choices("abcdefgh", k=i % 70)) for i in range(9_000)]
    assert simhashes(texts).tolist() == [simhash(text) for text in texts]
    assert simhashes([]).tolist() == []


def test_a_long_text_overflows_nothing():
    assert simhash("word " * 200_000) == simhash("word")


def test_the_order_of_words_and_their_case_are_left_out():
    assert simhash("Find a hotel in Rome") == simhash("in rome a HOTEL find!")
    assert simhash("Find a hotel in Rome") != simhash("Find a hostel in Rome")


def test_every_process_gives_the_same():
    text = "Book me a train to Lyon 预订酒店"
    program = f"from data_synth.filters.simhash import simhash; print(simhash({text!r}))"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(printed.stdout) == simhash(text)


def planted(distance: int, number: int, seed: int) -> list[int]:
    """Random fingerprints; half of them an earlier one with ``distance`` - 1 to ``distance`` + 1 bits flipped."""
    rng = random.Random(seed)
    hashes = [rng.getrandbits(64)]
    while len(hashes) < number:
        fresh = rng.getrandbits(64)
        if rng.random() < 0.5:
            num_flips = min(max(distance + rng.randint(-1, 1), 0), 64)
            fresh = rng.choice(hashes) ^ sum(1 << bit for bit in rng.sample(range(64), num_flips))
        hashes.append(fresh)
    return hashes


@pytest.mark.parametrize("distance", DISTANCES)
def test_the_index_finds_what_comparing_with_everything_finds(distance):
    index, added, num_found = SimHashIndex(distance), list[int](), 0
    for fingerprint in planted(distance, 800, seed=distance):
        near = (i for i, other in enumerate(added) if (other ^ fingerprint).bit_count() <= distance)
        expected = next(near, None)
        assert index.find(fingerprint) == expected
        assert index.add(fingerprint) == len(added)
        added.append(fingerprint)
        num_found += expected is not None
    assert len(index) == 800
    assert num_found > 100


@pytest.mark.parametrize("distance", [3, 7])
def test_every_pair_of_bits_that_may_differ_is_within_reach(distance):
    """Differences spread over the blocks in every way, so that no block's radius is too small."""
    index, rng = SimHashIndex(distance), random.Random(0)
    base = rng.getrandbits(64)
    for fingerprint in (base, *(rng.getrandbits(64) for _ in range(5))):
        index.add(fingerprint)
    for _ in range(2_000):
        bits = rng.sample(range(64), distance)
        assert index.find(base ^ sum(1 << bit for bit in bits)) == 0
        assert (
            index.find(base ^ sum(1 << bit for bit in {*bits, next(b for b in range(64) if b not in bits)}))
            != 0
        )


def test_a_distance_beyond_the_bits_is_refused():
    with pytest.raises(ValueError, match="distance=65"):
        SimHashIndex(65)
