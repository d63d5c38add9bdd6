"""What is refused before a server starts, and what a command's end means."""

import dataclasses
import socket
import sys

import pytest

from magic_megatron.platform import serve


@pytest.fixture
def model(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def arguments(model, *more):
    return [
        "--model",
        str(model),
        "--name",
        "tiny",
        "--log",
        str(model / "log"),
        "--platform",
        "rehearsal",
        *more,
    ]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ("--model", "no/such/folder", "--", "true"),
            "error: --model=no/such/folder: no config.json there; ",
        ),
        (("--platform", "tpu", "--", "true"), "error: --platform=tpu: choose rehearsal or cuda"),
    ],
)
def test_bad_options_are_named_with_their_fix(model, capsys, more, message):
    assert serve.main(arguments(model, *more)) == 2
    assert capsys.readouterr().err.startswith(message)
    assert not (model / "log").exists()


def test_heads_too_narrow_for_vllm_on_the_cpu_are_refused(model, capsys):
    (model / "config.json").write_text('{"head_dim": 16}')
    assert serve.main(arguments(model, "--", "true")) == 2
    assert "head_dim=16" in capsys.readouterr().err


def test_a_taken_port_is_refused(model, capsys):
    with socket.socket() as taken:
        taken.bind((serve.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert serve.main(arguments(model, "--port", str(port), "--", "true")) == 2
    assert capsys.readouterr().err.startswith(f"error: --port={port}: ")


def test_a_missing_command_is_refused(model, capsys):
    with pytest.raises(SystemExit) as left:
        serve.main(arguments(model))
    assert left.value.code == 2
    assert "no COMMAND" in capsys.readouterr().err


def test_the_command_keeps_its_arguments_and_its_status(model, tmp_path):
    _, command = serve.parse_arguments(
        arguments(model, "--", sys.executable, "-c", "import sys; sys.exit(len(sys.argv[1]))", "{base_url}")
    )
    assert serve.run_command(command, "http://h:1/v1") == len("http://h:1/v1")
    assert serve.run_command(["sh", "-c", "kill -TERM $$"], "") == 143


def test_the_server_gets_what_each_platform_needs(model, monkeypatch):
    monkeypatch.setenv("VERL_PLATFORM", "cpu")
    options, _ = serve.parse_arguments(arguments(model, "--extra", "--seed 3", "--", "true"))
    command = serve.server_command(options, 1234)
    assert command[command.index("--dtype") + 1] == "float32"
    assert "--enforce-eager" in command and command[-2:] == ["--seed", "3"]
    assert "VERL_PLATFORM" not in serve.server_environment("rehearsal")
    on_cuda = serve.server_command(dataclasses.replace(options, platform="cuda"), 1234)
    assert on_cuda[2] == "vllm.entrypoints.openai.api_server"
    assert on_cuda[on_cuda.index("--dtype") + 1] == "auto" and "--enforce-eager" not in on_cuda
    assert serve.server_environment("cuda")["VERL_PLATFORM"] == "cpu"
