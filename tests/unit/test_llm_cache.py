"""The request cache: what is stored stays, whoever writes at once, and every trouble is one clear line."""

import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llm_runs import ask_all, cached_texts, open_openai, request_of
from misbehaving_server import MisbehavingServer, right_answer

from data_synth.llm.cache import BUSY_S, RequestCache, Totals
from data_synth.llm.completion import Completion, Usage
from recipes.command import InputError

ANSWER = Completion("the answer", "because", "stop", Usage(100, 20))
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)
COUNTS = st.none() | st.integers(0, 10**9)


@pytest.fixture
def cache(tmp_path):
    cache = RequestCache(tmp_path / "deep" / "er" / "requests.sqlite")
    yield cache
    cache.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(text=TEXTS, reasoning=st.none() | TEXTS, finish=TEXTS, prompt=COUNTS, completion=COUNTS)
def test_what_comes_out_is_what_went_in(cache, text, reasoning, finish, prompt, completion):
    answer = Completion(text, reasoning, finish, Usage(prompt, completion))
    key = repr(answer)
    assert cache.get(key, "m") in (None, answer)
    assert cache.put(key, "m", "role", answer, 0.0) == answer
    cache.close()
    assert cache.get(key, "m") == answer


def test_the_first_answer_stands(cache):
    other = Completion("another", None, "length", Usage())
    assert cache.put("k", "m", "r", ANSWER, 1.5) == ANSWER
    assert cache.put("k", "m", "r", other, 1.0) == ANSWER
    assert cache.totals() == Totals(requests=2, prompt_tokens=100, completion_tokens=20, cost=2.5)


def test_totals_are_kept_by_model_and_paid_apart_from_cached(cache):
    cache.put("k", "a", "r", ANSWER, 1.5)
    cache.pay("a", Usage(7, None), 0.5)
    assert cache.get("k", "a") == ANSWER and cache.get("absent", "a") is None
    cache.put("l", "b", "r", ANSWER, 4.0)
    cache.close()
    expected = Totals(
        2, 1, 107, 20, 2.0, cached_requests=1, cached_prompt_tokens=100, cached_completion_tokens=20
    )
    assert RequestCache(cache.path).totals("a") == expected
    assert cache.totals().cost == 6.0 and cache.totals("never asked") == Totals()


def write_much(path, start, num, gate):
    cache = RequestCache(path)
    gate.wait()
    with ThreadPoolExecutor(4) as pool:
        for number in pool.map(
            lambda n: (cache.put(f"{n}", "m", "r", ANSWER, 1.0), n)[1], range(start, start + num)
        ):
            assert cache.get(f"{number}", "m") == ANSWER
    os._exit(0)  # without closing, as a killed worker


def test_processes_that_open_and_write_at_once_lose_nothing(tmp_path):
    """All make the file at the same moment, and half their keys are also another's."""
    context = multiprocessing.get_context("fork")
    gate = context.Event()
    path = tmp_path / "requests.sqlite"
    workers = [context.Process(target=write_much, args=(path, 50 * n, 100, gate)) for n in range(6)]
    for worker in workers:
        worker.start()
    gate.set()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    totals = RequestCache(path).totals()
    assert (totals.requests, totals.cached_requests, totals.cost) == (600, 600, 600.0)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM answers").fetchone() == (350,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def fork_while_threads_write(path):
    """A child gets a connection of its own and no lock that nobody will release."""
    cache = RequestCache(path)
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            cache.put(f"{threading.get_ident()}/{number}", "m", "r", ANSWER, 1.0)
            number += 1

    def child(number):
        cache.put(f"child/{number}", "m", "r", ANSWER, 1.0)
        os._exit(0 if cache.get(f"child/{number}", "m") == ANSWER else 1)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=child, args=(number,)) for number in range(10)]
        for process in children:
            process.start()
        for process in children:
            process.join(2 * BUSY_S)
            assert process.exitcode == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert all(cache.get(f"child/{number}", "m") == ANSWER for number in range(10))


def test_forked_while_threads_write(cache):
    """In a process of its own: threads that other tests left behind may hold locks when it forks."""
    process = multiprocessing.get_context("spawn").Process(
        target=fork_while_threads_write, args=(cache.path,)
    )
    process.start()
    process.join()
    assert process.exitcode == 0


def ask_for_good(folder, base_url, prompts):
    ask_all(open_openai(folder, base_url), prompts, num_threads=3)
    os.kill(os.getpid(), signal.SIGKILL)


def test_killed_again_and_again_no_answer_is_paid_for_twice(tmp_path):
    """Only what was under way when the process was killed."""
    prompts = [f"q{number}" for number in range(60)]
    context = multiprocessing.get_context("fork")
    with MisbehavingServer(lambda body, number: time.sleep(0.01)) as server:
        for share in (15, 30, 45, 60):
            process = context.Process(target=ask_for_good, args=(tmp_path, server.base_url, prompts))
            process.start()
            while len(server.num_asked) < share:
                time.sleep(0.002)
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        model = open_openai(tmp_path, server.base_url)
        texts = ask_all(model, prompts)
        assert texts == [right_answer(model._body(request_of(prompt))) for prompt in prompts]
        assert cached_texts(tmp_path) == sorted(texts)
        assert 60 <= len(server.bodies) <= 60 + 4 * 3
        model.close()


def trouble(action):
    """The message of the InputError that ``action`` raises: one line that names the key."""
    with pytest.raises(InputError) as caught:
        action()
    message = str(caught.value)
    assert message.startswith("llm.cache=") and "\n" not in message and ";" in message
    return message


def filled(path, num=200):
    cache = RequestCache(path)
    for number in range(num):
        cache.put(
            f"{number}", "m", "r", Completion(f"{number} is the answer" * 20, None, "stop", Usage()), 1.0
        )
    cache.close()
    return cache


def read_all(cache, num=200):
    return [cache.get(f"{number}", "m") for number in range(num)]


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "requests.sqlite"
    path.write_bytes(b"no database at all\n" * 1000)
    assert "damaged" in trouble(RequestCache(path).check) and str(path) in trouble(RequestCache(path).check)
    assert path.read_bytes() == b"no database at all\n" * 1000


def test_a_database_with_overwritten_pages(tmp_path):
    cache = filled(tmp_path / "requests.sqlite")
    with cache.path.open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(30_000))
    assert "damaged" in trouble(lambda: read_all(cache))
    cache.close()


def test_a_database_cut_off_in_the_middle(tmp_path):
    cache = filled(tmp_path / "requests.sqlite")
    os.truncate(cache.path, cache.path.stat().st_size // 2)
    assert "damaged" in trouble(lambda: read_all(cache))
    cache.close()


def test_one_flipped_bit_in_a_text_is_noticed(tmp_path):
    """SQLite itself reads it without complaint."""
    cache = filled(tmp_path / "requests.sqlite")
    content = bytearray(cache.path.read_bytes())
    content[content.index(b"77 is the answer") + 3] ^= 1
    cache.path.write_bytes(content)
    with sqlite3.connect(cache.path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert "isn't the one that was stored" in trouble(lambda: cache.get("77", "m"))
    assert cache.get("78", "m") is not None
    cache.close()


def test_another_programs_database_is_left_alone(tmp_path):
    path = tmp_path / "theirs.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE answers (x)")
    before = path.read_bytes()
    assert "another program" in trouble(RequestCache(path).check)
    assert path.read_bytes() == before


def test_a_folder_in_the_files_place_and_a_file_in_the_folders(tmp_path):
    assert "give a file" in trouble(RequestCache(tmp_path).check)
    (tmp_path / "file").write_text("")
    assert "give a file" in trouble(RequestCache(tmp_path / "file" / "requests.sqlite").check)


def test_somebody_holds_it_for_good(tmp_path, monkeypatch):
    monkeypatch.setattr("data_synth.llm.cache.BUSY_S", 0.3)
    cache = filled(tmp_path / "requests.sqlite", 1)
    holder = sqlite3.connect(cache.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    assert "another process" in trouble(lambda: cache.put("k", "m", "r", ANSWER, 1.0))
    holder.execute("ROLLBACK")
    assert cache.put("k", "m", "r", ANSWER, 1.0) == ANSWER
    holder.close()
    cache.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "give a file" in trouble(RequestCache(tmp_path / "locked" / "requests.sqlite").check)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 600 kB, and a function that makes it read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this user may not mount a tmpfs")
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_read_only_disk(small_disk):
    folder, make_read_only = small_disk
    cache = filled(folder / "requests.sqlite", 1)
    make_read_only()
    assert "can't be written" in trouble(lambda: cache.put("k", "m", "r", ANSWER, 1.0))
    assert "give a file" in trouble(RequestCache(folder / "other" / "requests.sqlite").check)


def test_a_full_disk_keeps_what_was_stored_and_goes_on_with_room(small_disk):
    folder, _ = small_disk
    cache = RequestCache(folder / "requests.sqlite")
    stored = []

    def fill():
        for number in range(1000):
            text = f"{number}" + "x" * 5000
            cache.put(f"{number}", "m", "r", Completion(text, None, "stop", Usage()), 1.0)
            stored.append(text)

    assert "the disk is full" in trouble(fill)
    assert 10 < len(stored) < 120
    cache.close()
    copy = RequestCache(folder.parent / "requests.sqlite")
    for path in folder.iterdir():
        shutil.copy(path, folder.parent)
    for number, text in enumerate(stored):
        found = copy.get(f"{number}", "m")
        assert found is not None and found.text == text
    assert copy.totals().requests == len(stored)
    copy.close()


def test_a_disk_that_is_full_from_the_start(small_disk):
    folder, _ = small_disk
    ballast = os.open(folder / "ballast", os.O_CREAT | os.O_WRONLY)
    with pytest.raises(OSError, match="No space"):
        while True:
            os.write(ballast, b"x" * 4096)
    os.close(ballast)
    assert "full" in trouble(RequestCache(folder / "requests.sqlite").check)


def test_a_run_whose_disk_fills_stops_with_that_line(small_disk):
    folder, _ = small_disk
    prompts = [f"question {number} " + "x" * 4000 for number in range(150)]
    with MisbehavingServer() as server:
        model = open_openai(folder, server.base_url)
        found = ask_all(model, prompts)
        failed = [error for error in found if isinstance(error, InputError)]
        assert failed and all("the disk is full" in str(error) for error in failed)
        kept = [text for text in found if isinstance(text, str)]
        assert set(kept) <= set(cached_texts(folder))
        model.close()


def test_two_threads_with_one_request_pay_once(tmp_path):
    with MisbehavingServer(lambda body, number: threading.Event().wait(0.1)) as server:
        model = open_openai(tmp_path, server.base_url)
        assert len(set(ask_all(model, ["same"] * 8, num_threads=8))) == 1
        assert len(server.bodies) == 1
        assert model.usage()["cached_requests"] == 7
        assert model.complete(request_of("same", seed=1)) != model.complete(request_of("same", seed=0))
        model.close()
