"""Scoring on a Ray cluster of two nodes, in one machine."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving.__main__ import main
from tests.serving.scoring.runs import table
from tests.serving.scoring.test_shard import rejected

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[data]'")


@pytest.fixture(scope="module")
def cluster():
    """A head and another node, with a processor each."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # Other tests run beside this one: as nice as it is by default, Ray would wait for minutes.
        patch.setenv("RAY_worker_niceness", "0")
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        found.add_node(num_cpus=1)
        ray.init(address=found.address, log_to_driver=False)
        yield found
        ray.shutdown()
        found.shutdown()


def test_both_nodes_score_and_the_parts_are_the_local_ones(cluster, saved, tmp_path, capsys):
    x = np.arange(400, dtype=np.float32)
    x[[7, 300]] = np.nan
    pq.write_table(pa.table({"x": pa.array(x, from_pandas=True)}), tmp_path / "in.parquet")
    arguments = ["score", str(saved / "half_plus_two"), "--input", str(tmp_path / "in.parquet")]
    arguments += ["--rows_per_part", "25", "--batch_size", "8", "--output"]
    assert len({node["NodeID"] for node in ray.nodes() if node["Alive"]}) == 2
    assert main([*arguments, str(tmp_path / "ray"), "--engine", "ray"]) == 0
    assert main([*arguments, str(tmp_path / "local")]) == 0
    printed = capsys.readouterr().out
    assert printed.count("398 rows scored, 2 rejected") == 2
    assert len(list((tmp_path / "ray").glob("part-*.parquet"))) == 16
    assert table(tmp_path / "ray") == table(tmp_path / "local")
    assert rejected(tmp_path / "ray") == rejected(tmp_path / "local")
    # Parts that are there are not written again, on whatever engine.
    (tmp_path / "ray" / "part-00003.parquet").unlink()
    assert main([*arguments, str(tmp_path / "ray"), "--engine", "ray"]) == 0
    assert "375 of them done already" in capsys.readouterr().out
    assert table(tmp_path / "ray") == table(tmp_path / "local")


def test_errors_of_actors_are_sentences(cluster, saved, tmp_path, capsys):
    (tmp_path / "in.csv").write_text("x\n1\n2\n")
    broken = tmp_path / "broken"
    broken.mkdir()
    content = (saved / "half_plus_two" / "saved_model.pb").read_bytes()
    (broken / "saved_model.pb").write_bytes(content)
    arguments = ["--input", str(tmp_path / "in.csv"), "--output", str(tmp_path / "out")]
    assert main(["score", str(broken), *arguments, "--engine", "ray"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert "variables" in last


def test_too_few_gpus_are_said(cluster, saved, tmp_path, capsys):
    (tmp_path / "in.csv").write_text("x\n1\n2\n")
    arguments = [str(saved / "half_plus_two"), "--input", str(tmp_path / "in.csv"), "--output"]
    arguments += [str(tmp_path / "out"), "--engine", "ray", "--gpus", "1"]
    assert main(["score", *arguments]) == 2
    assert "the cluster has 0 GPUs, too few for --gpus 1" in capsys.readouterr().err
