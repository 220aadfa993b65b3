"""What every worker but the chief does: it trains with the others, and leaves the rest to it."""

from __future__ import annotations

from dataclasses import replace

from pipelines import workers
from pipelines.config import Config
from pipelines.progress import stage
from pipelines.run import load
from pipelines.training import trainer


def assist(pipeline: str, config: Config) -> None:
    """Trains in step with the chief, and returns when that has registered the model.

    Raises:
        UserError: An option cannot be used, or the data set cannot be had.
        TrainingError: Another worker has ended.
    """
    workers.connect(config)
    config = workers.share(config, config)
    with workers.together(config):
        with stage("data"):
            workers.meet(config)
            task, data = load(pipeline, config)
            network = trainer.build(task, data)
        if task.teacher:
            alone = type(task)(task.config, replace(task.teacher, alpha=0.0, inherit=False))
            trainer.fit(
                alone, trainer.build(alone, data), data, workers.Silence(), workers.shared(config)
            )
        trainer.fit(task, network, data, workers.Silence(), workers.shared(config))
        with stage("chief") as bar:
            workers.meet(config)
            bar.advance("has registered the model")
