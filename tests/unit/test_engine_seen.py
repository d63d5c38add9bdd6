"""What rows repeat: instances and texts."""

from hashlib import sha256

from data_synth.engine_seen import Seen


def instance(number):
    return sha256(str(number).encode()).hexdigest()


def test_an_instance_and_a_near_text_are_told_apart():
    seen = Seen(distance=3)
    assert seen.repeats(instance(0), 0b1111) is None
    seen.add(instance(0), 0b1111)
    assert seen.repeats(instance(0), 1 << 60) == "duplicate"
    assert seen.repeats(instance(1), 0b1110) == "near_duplicate"
    assert seen.repeats(instance(1), 0b11111111) is None
    assert seen.is_near(0b1111) and not seen.is_near(None)


def test_texts_are_compared_only_if_asked():
    seen = Seen(distance=None)
    seen.add(instance(0), 7)
    assert seen.repeats(instance(1), 7) is None
    assert seen.repeats(instance(0), 7) == "duplicate"
