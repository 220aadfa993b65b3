"""Files in protobuf's text format: what they say, and what is wrong with them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.protobuf import config_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.errors import UserError
from serving.server import config_files
from serving.server.config_files import BatchingParameters, MonitoringConfig, SSLConfig, read

ROOT = Path(__file__).resolve().parent.parent.parent.parent

SMALL = ("BatchingParameters", "SSLConfig", "MonitoringConfig")


@pytest.fixture
def file(tmp_path):
    """Writes a file and returns where it lies."""

    def file(content: str | bytes) -> Path:
        path = tmp_path / "file.pbtxt"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return file


def test_batching_parameters_are_read_with_all_their_fields(file):
    parameters = read(
        file(
            """
            # As an operator writes it.
            max_batch_size { value: 32 }
            batch_timeout_micros { value: 1000 }
            max_enqueued_batches { value: 100 }
            num_batch_threads { value: 2 }
            thread_pool_name { value: "pool" }
            allowed_batch_sizes: 8
            allowed_batch_sizes: 16
            allowed_batch_sizes: [32]
            pad_variable_length_inputs: true
            max_execution_batch_size { value: 16 }
            enable_large_batch_splitting { value: true }
            """
        ),
        BatchingParameters,
    )
    assert parameters.max_batch_size.value == 32
    assert parameters.batch_timeout_micros.value == 1000
    assert parameters.max_enqueued_batches.value == 100
    assert parameters.num_batch_threads.value == 2
    assert parameters.thread_pool_name.value == "pool"
    assert list(parameters.allowed_batch_sizes) == [8, 16, 32]
    assert parameters.pad_variable_length_inputs
    assert parameters.max_execution_batch_size.value == 16
    assert parameters.enable_large_batch_splitting.value


def test_what_a_file_leaves_out_is_known_to_be_left_out(file):
    parameters = read(file("max_batch_size { value: 0 }"), BatchingParameters)
    assert parameters.HasField("max_batch_size")
    assert not parameters.HasField("num_batch_threads")


def test_keys_of_a_secure_channel_are_read(file):
    config = read(
        file('server_key: "a\\nb"\nserver_cert: "c"\ncustom_ca: "d"\nclient_verify: true'),
        SSLConfig,
    )
    assert (config.server_key, config.server_cert, config.custom_ca) == ("a\nb", "c", "d")
    assert config.client_verify


@pytest.mark.parametrize("quote", ['"', "'"])
def test_keys_may_stand_on_the_lines_that_they_have(file, quote):
    """C++ takes strings of several lines, which the parser in Python does not."""
    key = "-----BEGIN PRIVATE KEY-----\nMIIC+/=\n-----END PRIVATE KEY-----\n"
    quoted = f"{quote}{key}{quote}"
    text = f"# It's a \"key\n# of two halves\nserver_key: {quoted} {quote}#\\{quote}{quote}\nno: 1"
    path = file(text)
    with pytest.raises(UserError, match=r", line 7: .*no field named \"no\""):
        read(path, SSLConfig)
    path.write_text(text.removesuffix("no: 1"))
    assert read(path, SSLConfig).server_key == f"{key}#{quote}"


def test_the_mark_of_utf_8_is_no_part_of_a_file(file):
    assert read(file(b"\xef\xbb\xbfclient_verify: true"), SSLConfig).client_verify


def test_a_file_may_be_named_as_tensorflow_does(file):
    path = file("client_verify: true")
    assert read(f"file://{path}", SSLConfig).client_verify


def test_monitoring_is_read(file):
    config = read(file('prometheus_config { enable: true, path: "/metrics" }'), MonitoringConfig)
    assert config.prometheus_config.enable
    assert config.prometheus_config.path == "/metrics"


def test_models_are_read(file):
    config = read(
        file(
            """
            model_config_list {
              config {
                name: "m" base_path: "/models/m" model_platform: "tensorflow"
                model_version_policy { specific { versions: 3 versions: 4 } }
                version_labels { key: "stable" value: 3 }
              }
            }
            """
        ),
        model_server_config_pb2.ModelServerConfig,
    )
    (model,) = config.model_config_list.config
    assert model.name == "m"
    assert list(model.model_version_policy.specific.versions) == [3, 4]
    assert dict(model.version_labels) == {"stable": 3}


def test_the_session_s_configuration_is_read(file):
    config = read(file("intra_op_parallelism_threads: 3"), config_pb2.ConfigProto)
    assert config.intra_op_parallelism_threads == 3


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        ("max_batch_size { value: 32 }\nmax_size { value: 3 }", 2, 'no field named "max_size"'),
        ("max_batch_size: 32", 1, "max_batch_size"),
        ("\n\nmax_batch_size { value: many }", 3, "many"),
        ("max_batch_size { value: 32", 1, "Expected"),
        ("max_batch_size { value: 99999999999999999999 }", 1, "99999999999999999999"),
        ("pad_variable_length_inputs: maybe", 1, "maybe"),
        ("max_batch_size { value: 1 }\nmax_batch_size { value: 2 }", 2, "max_batch_size"),
    ],
)
def test_an_error_says_file_line_and_what(file, content, line, what):
    path = file(content)
    with pytest.raises(UserError) as raised:
        read(path, BatchingParameters)
    text = str(raised.value)
    assert text.startswith(
        f"{path}, line {line}: Error parsing text-format tensorflow.serving.BatchingParameters: "
    )
    assert what in text
    assert "\n" not in text


def test_a_file_of_other_bytes_is_refused_in_one_sentence(file):
    with pytest.raises(UserError, match="is not a SSLConfig in protobuf's text format: not UTF-8"):
        read(file(b"\xff\xfe"), SSLConfig)


def test_a_missing_file_and_a_folder_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"gone, a SSLConfig, cannot be read: No such file"):
        read(tmp_path / "gone", SSLConfig)
    with pytest.raises(UserError, match=r"cannot be read: Is a directory"):
        read(str(tmp_path), SSLConfig)


@pytest.mark.parametrize("name", SMALL)
@given(data=st.data())
def test_whatever_a_file_holds_it_is_read_or_refused(tmp_path_factory, name, data):
    """A fault of the reader itself would end the server with a traceback."""
    message_class = getattr(config_files, name)
    fields = [field.name for field in message_class.DESCRIPTOR.fields]
    pieces = st.sampled_from(
        [*fields, "{", "}", ":", "value", "32", "-1", "true", '"a"', "[", "\n"]
    )
    text = " ".join(data.draw(st.lists(pieces, max_size=8)))
    path = tmp_path_factory.getbasetemp() / f"{name}.pbtxt"
    path.write_text(text)
    with contextlib.suppress(UserError):
        message = read(path, message_class)
        assert text_format.Parse(text_format.MessageToString(message), message_class()) == message


def test_the_small_messages_do_without_tensorflow():
    code = (
        "import sys; from serving.server import config_files; sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
