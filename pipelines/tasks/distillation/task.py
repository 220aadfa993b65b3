"""Knowledge distillation: a smaller network learns from a trained one.

    python -m pipelines distillation

trains the default encoder of `bert_pretraining` (two layers, 680,855 parameters with its head) in a
run of its own, and then two students with half its layers (482,583 parameters) on the same
sentences: one from scratch, on the masked tokens alone, as a baseline, and one that begins with its
teacher's embeddings and first layer and learns from its teacher's probabilities as well. Measured
beside other jobs, 305 to 321 seconds of processor time with the teacher's run:

| | validation perplexity | test perplexity | test accuracy |
|---|---|---|---|
| counts of four neighbors, the strongest baseline | 28.8 | 27.3 | .399 |
| student trained without a teacher | 62.9 | 62.6 | .268 |
| student, seeds 0 to 2, mean ± deviation | 20.56 ± .04 | 20.92 ± .06 | .406 ± .002 |
| teacher | 17.8 | 18.0 | .434 |

A request takes it 1.7, 1.7 and 2.6 ms, and its teacher 2.8, 2.8 and 4.9 ms, without a server
around them. On test, the 95 % intervals of the difference to the counts end at -2.1 to -2.2.

Not every student gains. On syllables of words (`text_classification`), a `gru` of 24 units without
a teacher has a validation accuracy of .901, and with one .896; a `simple_rnn` of 32 units .879 and
.886. On digits, with a teacher of .962, a convnet of few filters reached .864, .788 and .804 with
seeds 0 to 2, and without the teacher .844, .773 and .831.

    python -m pipelines distillation --teacher runs:/ID --architecture distilbert_base \\
        --model.layers 1 --model.heads 2 --model.width 128 --model.feed_forward 512 --inherit true

is DistilBERT's method (Sanh et al. 2019), from a run of `bert_pretraining`: the student is
initialized with every other layer of its teacher, and learns masked language modeling from it;
their cosine loss of hidden states is left out. At scale DistilBERT keeps 97 % of BERT's score on
GLUE with 40 % fewer parameters.

A teacher is any run of a pipeline whose networks return logits (`Pipeline.distillable`). The data
set and its tokens are the teacher's, and so are the signatures of the SavedModel: the student takes
its teacher's place behind the same client. The student trained without a teacher is logged as a run
within the run.
"""

from __future__ import annotations

from dataclasses import replace

import mlflow

from pipelines.catalog import (
    check_distillable,
    check_teacher,
    make_task,
    no_teacher,
    pipelines,
)
from pipelines.errors import UserError
from pipelines.image.config import ImageConfig
from pipelines.run import run
from pipelines.run_uri import run_id
from pipelines.task import Task, Teacher
from pipelines.tasks.distillation.config import DistillationConfig
from pipelines.tasks.language_modeling.config import LanguageModelingConfig
from pipelines.tasks.pretraining.config import BertPretrainingConfig
from pipelines.tasks.pretraining.sentence_pairs import published_task
from pipelines.text.config import TextConfig
from pipelines.trained import Trained, read


def make_student(config: DistillationConfig) -> Task:
    """Returns the teacher's task for the student's network.

    Raises:
        UserError: There is no such teacher, or a choice does not go with it.
    """
    config.check()
    trained = find(config)
    # Where the data are depends on the machine, not on the teacher's run.
    teacher_config = replace(
        trained.config,
        data_dir=config.data_dir or trained.config.data_dir,
        manual_dir=config.manual_dir or trained.config.manual_dir,
    )
    if isinstance(teacher_config, BertPretrainingConfig) and not published_task(
        config.architecture
    ):
        # The student learns from the masked tokens alone.
        teacher_config = replace(teacher_config, sentence_task="none")
    student_config = replace(
        teacher_config,
        architecture=config.architecture,
        model=config.model,
        name=config.name,
        recipe=config.recipe,
        figures=config.figures,
        run_name="",
        tag=config.tag,
        note="",
    )
    if isinstance(student_config, ImageConfig):
        student_config = replace(student_config, weights="")
    if isinstance(student_config, TextConfig):
        student_config = replace(student_config, encoder="", freeze_layers=0)
    if isinstance(student_config, LanguageModelingConfig):
        # The teacher's tokens remain the student's.
        student_config = replace(student_config, weights="")
    task = make_task(trained.pipeline, teacher_config)
    teacher = Teacher(
        uri=trained.uri,
        pipeline=trained.pipeline,
        task=task,
        model=trained.model,
        temperature=config.temperature,
        alpha=config.alpha,
        inherit=config.inherit,
    )
    return type(task)(student_config, teacher)


def find(config: DistillationConfig) -> Trained:
    """Returns the network of a run; where a pipeline is named, its default run is made first.

    Args:
        config: Its teacher is `runs:/ID`, `models:/NAME@ALIAS`, `models:/NAME/VERSION`, or the
            name of a pipeline that is distillable.

    Raises:
        UserError: There is no such run, or a student cannot learn from its network.
    """
    teacher = config.teacher
    check_teacher(config)
    if teacher in pipelines():
        defaults = pipelines()[teacher].defaults
        own = replace(defaults, max_examples=config.max_examples, figures=config.figures)
        teacher = run(teacher, own).run.uri
    try:
        number = run_id(teacher)
        pipeline = mlflow.get_run(number).data.tags.get("pipeline", "")
    except UserError as error:
        raise UserError(f"--teacher {error}") from error
    except (mlflow.MlflowException, ValueError) as error:
        raise no_teacher(teacher) from error
    check_distillable(pipeline)
    try:
        return read(number)
    except (mlflow.MlflowException, OSError) as error:
        raise no_teacher(teacher) from error
