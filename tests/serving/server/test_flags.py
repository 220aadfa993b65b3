"""The command line of tensorflow_model_server."""

from __future__ import annotations

import logging
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import UserError
from serving.server.flags import IGNORED, Flags, channel_options, check, parse, usage


def test_without_arguments_the_originals_defaults_hold():
    flags = parse([])
    assert flags == Flags()
    assert (flags.port, flags.model_name, flags.model_base_path) == (8500, "default", "")
    assert flags.file_system_poll_wait_seconds == 1
    assert flags.max_num_load_retries == 5
    assert flags.load_retry_interval_micros == 60_000_000
    assert flags.saved_model_tags == "serve"
    assert flags.enable_model_warmup


def test_each_flag_takes_its_value():
    for name, default in asdict(Flags()).items():
        value, text = {
            bool: (not default, str(not default).lower()),
            int: (7, "7"),
            float: (0.5, "0.5"),
            str: ("bfloat16", "bfloat16"),
        }[type(default)]
        assert asdict(parse([f"--{name}={text}"])) == {**asdict(Flags()), name: value}


def test_a_value_may_hold_an_equals_sign_and_commas():
    assert parse(["--model_base_path=/models/a=b,c"]).model_base_path == "/models/a=b,c"


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("--enable_model_warmup", True),
        ("--enable_model_warmup=true", True),
        ("--enable_model_warmup=TRUE", True),
        ("--enable_model_warmup=1", True),
        ("--enable_model_warmup=false", False),
        ("--enable_model_warmup=0", False),
    ],
)
def test_a_boolean_may_stand_alone_or_say_true_or_false(argument, value):
    assert parse([argument]).enable_model_warmup is value


def test_the_last_of_several_values_counts():
    assert parse(["--port=1", "--port=2"]).port == 2


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--port=http", "--port must be an integer, not 'http'"),
        ("--port=", "--port must be an integer, not ''"),
        ("--port=8500.0", "--port must be an integer, not '8500.0'"),
        ("--port", "--port needs a value, as --port=VALUE"),
        ("--port=-1", "--port must be from 0 to 65535, not -1"),
        ("--request_log_sampling_rate=2", "--request_log_sampling_rate must be from 0 to 1, not 2"),
        ("--port=65536", "--port must be from 0 to 65535, not 65536"),
        ("--grpc_max_threads=-1", "--grpc_max_threads must be from 0 to 2147483647, not -1"),
        (
            "--rest_api_timeout_in_ms=2147483648",
            "--rest_api_timeout_in_ms must be from -2147483648 to 2147483647, not 2147483648",
        ),
        ("--model_name", "--model_name needs a value, as --model_name=VALUE"),
        (
            "--enable_model_warmup=maybe",
            "--enable_model_warmup must be true or false, not 'maybe'",
        ),
        ("--rest_api_port=99999", "--rest_api_port must be from 0 to 65535, not 99999"),
        ("--workers=0", "--workers must be from 1 to 2147483647, not 0"),
        (
            "--per_process_gpu_memory_fraction=half",
            "--per_process_gpu_memory_fraction must be a number, not 'half'",
        ),
        (
            "--per_process_gpu_memory_fraction=nan",
            "--per_process_gpu_memory_fraction must be from 0 to 2147483647, not nan",
        ),
        (
            "--mixed_precision=float8",
            "--mixed_precision must be bfloat16 or float16, not 'float8'",
        ),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_a_sentence(argument, sentence):
    with pytest.raises(UserError) as raised:
        parse([argument])
    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        *((each, "--help lists the flags") for each in ("--gpu=1", "--", "")),
        *((each, "did you mean --port?") for each in ("-port=1", "port=1", "--prot=1")),
        ("--enable_profile", "did you mean --enable_profiler?"),
        ("--model-base-path=/m", "did you mean --model_base_path?"),
    ],
)
def test_an_unknown_argument_is_logged_and_the_rest_goes_on(argument, hint, caplog):
    assert parse([argument, "--port=7"]) == Flags(port=7)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == f"unknown argument: {argument} ({hint})"


ELSEWHERE = [
    "--enable_profiler",
    "--flush_filesystem_caches=false",
    "--platform_config_file=",
    "--skip_initialize_tpu=perhaps",
]


@pytest.mark.parametrize("argument", ELSEWHERE)
def test_a_flag_of_the_original_that_is_not_acted_on_is_named_in_one_line(argument, caplog):
    assert parse([argument, "--port=7"]) == Flags(port=7)
    [record] = caplog.records
    name = argument.partition("=")[0]
    assert record.levelno == logging.WARNING
    assert record.getMessage() == f"{name} is not supported by this server and is ignored"


def test_the_usage_names_each_flag_with_its_default():
    head, _, *lines = usage().splitlines()
    assert head.startswith("usage: ")
    *flags, ignored = lines[::2]
    *texts, _ = lines[1::2]
    defaults = {True: "true", False: "false"}
    assert flags == [
        f"  --{name}={defaults.get(default, default) if type(default) is bool else default}"
        for name, default in asdict(Flags()).items()
    ]
    assert all(len(text.split()) > 2 and text.endswith(".") for text in texts)
    assert ignored.split(", ") == [f"  --{min(IGNORED)}", *(f"--{n}" for n in sorted(IGNORED)[1:])]


def outcome(arguments: list[str]) -> Flags | str:
    try:
        return parse(arguments)
    except UserError as error:
        return str(error)


@given(st.lists(st.text() | st.sampled_from([f"--{name}=" for name in asdict(Flags())])))
def test_any_command_line_is_read_or_refused_in_a_sentence_that_names_the_flag(arguments):
    result = outcome(arguments)
    assert isinstance(result, Flags) or result.startswith("--")


@pytest.fixture
def models(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "file").touch()
    return tmp_path / "m"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--port=0"],
            "At least one of server_options.grpc_port or server_options.grpc_socket_path must be "
            "set: give --port or --grpc_socket_path",
        ),
        (
            ["--batching_parameters_file=BASE/file"],
            "server_options.batching_parameters_file is set without setting "
            "server_options.enable_batching to true: add --enable_batching",
        ),
        (
            [
                "--tensorflow_session_parallelism=2",
                "--tensorflow_intra_op_parallelism=1",
                "--tensorflow_inter_op_parallelism=1",
            ],
            "--tensorflow_session_parallelism sets both --tensorflow_intra_op_parallelism and "
            "--tensorflow_inter_op_parallelism: give either the first or the other two",
        ),
        (
            ["--grpc_channel_arguments=grpc.a"],
            "--grpc_channel_arguments must be KEY=VALUE,KEY=VALUE, not 'grpc.a'",
        ),
        (["--host=localhost"], "--host must be an IP address, not 'localhost'"),
        (
            ["--model_base_path="],
            "--model_base_path is missing: the folder of the model's versions; or give "
            "--model_config_file",
        ),
        (
            ["--use_alts_credentials"],
            "--use_alts_credentials is not supported, and the port would not be encrypted without "
            "it; give --ssl_config_file for TLS",
        ),
        *(
            (
                [f"--{name}=BASE/no", "--enable_batching", "--rest_api_port=1"],
                f"--{name} names BASE/no, which is no file",
            )
            for name in (
                "model_config_file",
                "batching_parameters_file",
                "monitoring_config_file",
                "ssl_config_file",
                "rest_api_ssl_config_file",
                "tensorflow_session_config_file",
            )
        ),
    ],
)
def test_flags_that_cannot_work_are_refused_in_a_sentence(models, arguments, sentence):
    arguments = [argument.replace("BASE", str(models)) for argument in arguments]
    with pytest.raises(UserError) as raised:
        check(parse([f"--model_base_path={models}", *arguments]))
    assert str(raised.value) == sentence.replace("BASE", str(models))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--port=0", "--grpc_socket_path=/tmp/socket"],
        ["--batching_parameters_file=BASE/file", "--enable_batching"],
        ["--model_base_path=", "--model_config_file=BASE/file"],
        ["--model_base_path=BASE/no"],
        ["--model_base_path=file:///no"],
        ["--model_config_file=file://BASE/file"],
        ["--use_alts_credentials=false"],
        ["--monitoring_config_file=BASE/no"],
        ["--monitoring_config_file=BASE/no", "--rest_api_port=8500"],
        ["--rest_api_timeout_in_ms=0"],
        ["--rest_api_timeout_in_ms=-1"],
        ["--model_config_file_poll_wait_seconds=-1"],
        ["--num_request_iterations_for_warmup=-1"],
        ["--tensorflow_session_parallelism=2"],
        ["--tensorflow_session_parallelism=2", "--tensorflow_intra_op_parallelism=1"],
        ["--tensorflow_session_parallelism=2", "--tensorflow_inter_op_parallelism=1"],
        ["--tensorflow_inter_op_parallelism=2", "--tensorflow_intra_op_parallelism=1"],
    ],
)
def test_flags_that_go_together_pass(models, arguments):
    arguments = [argument.replace("BASE", str(models)) for argument in arguments]
    check(parse([f"--model_base_path={models}", *arguments]))


def test_channel_arguments_are_numbers_where_they_look_like_ones():
    assert channel_options("") == []
    assert channel_options("grpc.a=1,grpc.b=-5,grpc.c=1x,grpc.d=") == [
        ("grpc.a", 1),
        ("grpc.b", -5),
        ("grpc.c", "1x"),
        ("grpc.d", ""),
    ]
