"""The command line of tensorflow_model_server."""

from __future__ import annotations

import logging
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import UserError
from serving.server.flags import Flags, parse, usage


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
    flags = parse(
        [
            "--port=0",
            "--model_name=digits",
            "--model_base_path=/models/a=b",
            "--file_system_poll_wait_seconds=0",
            "--max_num_load_retries=-1",
            "--load_retry_interval_micros=1",
            "--saved_model_tags=serve,gpu",
            "--enable_model_warmup=false",
            "--grpc_max_threads=128",
            "--version",
        ]
    )
    assert asdict(flags) == {
        "port": 0,
        "model_name": "digits",
        "model_base_path": "/models/a=b",
        "file_system_poll_wait_seconds": 0,
        "max_num_load_retries": -1,
        "load_retry_interval_micros": 1,
        "saved_model_tags": "serve,gpu",
        "enable_model_warmup": False,
        "grpc_max_threads": 128,
        "version": True,
    }


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
        ("--port=65536", "--port must be from 0 to 65535, not 65536"),
        ("--grpc_max_threads=0", "--grpc_max_threads must be from 1 to 2147483647, not 0"),
        ("--model_name", "--model_name needs a value, as --model_name=VALUE"),
        (
            "--enable_model_warmup=maybe",
            "--enable_model_warmup must be true or false, not 'maybe'",
        ),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_a_sentence(argument, sentence):
    with pytest.raises(UserError) as raised:
        parse([argument])
    assert str(raised.value) == sentence


@pytest.mark.parametrize("argument", ["--gpu=1", "--", "-port=1", "port=1", "--Port=1", ""])
def test_an_unknown_argument_is_logged_and_the_rest_goes_on(argument, caplog):
    assert parse([argument, "--port=7"]) == Flags(port=7)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == f"unknown argument: {argument}\n{usage()}"


ELSEWHERE = [
    "--rest_api_port=8501",
    "--enable_batching",
    "--enable_batching=true",
    "--model_config_file=models.config",
    "--monitoring_config_file=",
    "--tensorflow_session_parallelism=many",
]


@pytest.mark.parametrize("argument", ELSEWHERE)
def test_a_flag_of_the_original_that_is_not_acted_on_is_named_in_one_line(argument, caplog):
    assert parse([argument, "--port=7"]) == Flags(port=7)
    [record] = caplog.records
    name = argument.partition("=")[0]
    assert record.levelno == logging.WARNING
    assert record.getMessage() == f"{name} is not supported by this server and is ignored"


def test_the_usage_names_each_flag_with_its_default():
    lines = usage().splitlines()
    assert lines[0].startswith("usage: ")
    assert lines[1:] == [f"  --{name}={default}" for name, default in asdict(Flags()).items()]


def outcome(arguments: list[str]) -> Flags | str:
    try:
        return parse(arguments)
    except UserError as error:
        return str(error)


@given(st.lists(st.text() | st.sampled_from([f"--{name}=" for name in asdict(Flags())])))
def test_any_command_line_is_read_or_refused_in_a_sentence_that_names_the_flag(arguments):
    result = outcome(arguments)
    assert isinstance(result, Flags) or result.startswith("--")
