"""What a run that was killed leaves, and what the next one makes of it."""

import json

from magic_megatron.rl.run_folder import (
    MetricsFile,
    complete_steps,
    mark_complete,
    newest_checkpoint,
    read_state,
    remove_unfinished,
)


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_steps_that_are_done_again_are_told_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    first = MetricsFile(path, last_step=0)
    for step in range(1, 6):
        first.write({"step": step, "run": 1})
    first.close()
    with path.open("a") as file:
        file.write('{"step": 6, "ru')  # killed as it wrote
    second = MetricsFile(path, last_step=3)
    second.write({"step": 4, "run": 2})
    second.close()
    assert [(line["step"], line["run"]) for line in lines_of(path)] == [(1, 1), (2, 1), (3, 1), (4, 2)]


def test_a_half_written_line_alone_goes(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"st')
    MetricsFile(path, last_step=5).close()
    assert path.read_text() == '{"step": 1}\n'


def make_checkpoint(folder, step):
    (folder / f"global_step_{step}" / "actor").mkdir(parents=True)
    (folder / f"global_step_{step}" / "actor" / "weights").write_text(str(step))


def test_only_whole_checkpoints_are_resumed_from(tmp_path):
    assert newest_checkpoint(tmp_path / "none") is None
    for step in (2, 4):
        make_checkpoint(tmp_path, step)
        mark_complete(tmp_path / f"global_step_{step}", {"step": step, "history": {"a": 1.5}}, keep=5)
    make_checkpoint(tmp_path, 6)  # killed before it was whole
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("")
    newest = newest_checkpoint(tmp_path)
    assert newest == tmp_path / "global_step_4"
    assert read_state(newest) == {"step": 4, "history": {"a": 1.5}}
    assert (tmp_path / "global_step_6").exists(), "another run may be writing it"
    remove_unfinished(tmp_path)
    assert newest_checkpoint(tmp_path) == newest
    assert not (tmp_path / "global_step_6").exists()
    assert not (tmp_path / "latest_checkpointed_iteration.txt").exists()


def test_the_newest_are_kept(tmp_path):
    for step in (1, 9, 10):
        make_checkpoint(tmp_path, step)
        mark_complete(tmp_path / f"global_step_{step}", {}, keep=2)
    assert complete_steps(tmp_path) == [9, 10]
    assert not (tmp_path / "global_step_1").exists()
