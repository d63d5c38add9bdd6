"""Folders that commands write into: failed first runs, runs that start at once, manifests of other versions."""

import json
import multiprocessing
import time
from contextlib import suppress
from pathlib import Path

import pytest

from data_synth import output_folder
from data_synth.engine_folder import OutputFolder
from data_synth.selection.folder import SelectionFolder
from data_synth.tools import folder as curation
from data_synth.writers import staging as export
from recipes.command import InputError

STAGED = {"curation": curation.staged, "export": export.staged}


def fail(staged, folder: Path, other: str | None = None) -> None:
    with staged(folder) as stage:
        (stage / "half").write_text("written")
        if other:
            (folder / other).write_text("mine")
        raise InputError("input=x: wrong; give another")


@pytest.mark.parametrize("staged", STAGED.values(), ids=STAGED)
def test_a_failed_first_run_leaves_nothing_but_what_others_put_there(staged, tmp_path):
    with pytest.raises(InputError, match=r"^input=x: wrong"):
        fail(staged, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match=r"^input=x: wrong"):
        fail(staged, tmp_path / "out", "notes.txt")
    assert {path.name for path in (tmp_path / "out").iterdir() if path.name[0] != "."} == {"notes.txt"}
    assert not list((tmp_path / "out").rglob("half"))


@pytest.mark.parametrize("staged", STAGED.values(), ids=STAGED)
def test_who_comes_second_takes_nothing_from_who_is_at_work(staged, tmp_path, monkeypatch):
    """Both find no folder; the second is refused, and so is a third."""
    out, exists = tmp_path / "out", Path.exists
    with pytest.raises(InputError, match=r"^input=x: wrong"), staged(out):
        with monkeypatch.context() as patched:
            patched.setattr(Path, "exists", lambda path: path != out and exists(path))
            with pytest.raises(InputError, match="is writing there"), staged(out):
                pytest.fail("two at once")
        with pytest.raises(InputError, match="is writing there"), staged(out):
            pytest.fail("two at once")
        raise InputError("input=x: wrong; give another")
    assert not out.exists()


def work(folder: Path, times: int, started, inside, most) -> None:
    started.wait()
    for number in range(times):
        with suppress(KeyError):
            try:
                with output_folder.staged(folder, ".lock", ".stage", lambda stage: None):
                    with inside.get_lock():
                        inside.value += 1
                        most.value = max(most.value, inside.value)
                    time.sleep(0.0002)
                    with inside.get_lock():
                        inside.value -= 1
                    if number % 2:
                        raise KeyError  # and the folder goes
            except InputError as refused:
                assert "another run is writing there" in str(refused)


def test_locks_that_come_and_go_let_in_one_at_a_time(tmp_path):
    context = multiprocessing.get_context("fork")
    started, inside, most = context.Barrier(4), context.Value("i", 0), context.Value("i", 0)
    arguments = (tmp_path / "out", 300, started, inside, most)
    workers = [context.Process(target=work, args=arguments) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert (inside.value, most.value) == (0, 1)


@pytest.mark.parametrize("staged", STAGED.values(), ids=STAGED)
def test_a_lock_that_cannot_be_made_is_told(staged, tmp_path):
    for name in (".tools.lock", ".export.lock"):
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=f"^output_dir={tmp_path}: Is a directory; choose another"):
        fail(staged, tmp_path)


OPEN = {
    "rows": lambda path: OutputFolder(path, {"seed": 1}),
    "selection": lambda path: SelectionFolder(path, {"input": {}, "held_out": {}}, {"seed": 1}),
}
MANIFEST = {"format_version": 1, "kind": "data_synth.select", "status": "running", "settings": {"seed": 1}}


@pytest.mark.parametrize("opened", OPEN.values(), ids=OPEN)
def test_manifests_of_other_versions_are_refused(opened, tmp_path):
    def write(manifest: object) -> None:
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))

    write(MANIFEST)
    with opened(tmp_path) as folder:
        assert not folder.complete
    write({**MANIFEST, "format_version": 2})
    said = f"^output_dir={tmp_path}: its manifest.json has format_version 2, this version reads 1; choose"
    with pytest.raises(InputError, match=said), opened(tmp_path):
        pytest.fail("opened")
    for broken in ([], "text", {}, {"kind": "cooking"}):
        write(broken)
        with (
            pytest.raises(InputError, match=r"its manifest.json is not .*; choose another"),
            opened(tmp_path),
        ):
            pytest.fail("opened")


@pytest.mark.parametrize("missing", ["status", "settings", "files"])
def test_a_manifest_that_lacks_a_part_is_not_taken_for_complete(missing, tmp_path):
    whole = {**MANIFEST, "status": "complete", "files": {}, "sources": {}}
    (tmp_path / "manifest.json").write_text(json.dumps({k: v for k, v in whole.items() if k != missing}))
    with OPEN["selection"](tmp_path) as folder:
        assert not folder.complete
    with pytest.raises(InputError, match=r"is not of data_synth; choose another"), OPEN["rows"](tmp_path):
        pytest.fail("opened")
