"""Makes a built-in encoder from a run of `bert_pretraining`.

    python -m pipelines.text.make_encoder NAME runs:/ID COMMAND

NAME is what follows `builtin:`, and COMMAND what started the run.
"""

from __future__ import annotations

import sys

import mlflow

from pipelines.datasets import loading
from pipelines.run_uri import run_id
from pipelines.text import encoders, pretrained


def main(name: str, uri: str, command: str) -> None:
    run = mlflow.get_run(run_id(uri))
    info = loading.prepared(run.data.params["dataset"]).info
    license = info.redistribution_info.license
    folder = pretrained.find(uri)
    encoders.write(name, folder, command=command, dataset=info.full_name, license=license)


if __name__ == "__main__":
    main(*sys.argv[1:])
