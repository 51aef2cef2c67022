"""Choose the model of a command that was started without one."""

from __future__ import annotations

from pathlib import Path

from dfer_data.errors import UsageError
from dfer_data.wording import counted

from . import command_line, console

_RUNS = Path("runs")
_MOST_CHOICES = 20


def require_model(model: Path) -> None:
    """Check that a run or a model file exists. Raises UsageError."""
    if not model.exists():
        raise UsageError(f"{model}: this run or model does not exist; `dfer status` lists the runs of this folder")


def model_or_only_run(model: Path | None, *, checkpoint: str) -> Path:
    """Return the model that was given, else the only finished run below runs/ that was trained on real faces.

    Where there are several, the command line that runs is printed once for each of them.
    Raises UsageError for a model that does not exist, and where there is not exactly one run.
    """
    if model is not None:
        require_model(model)
        return model
    from lstpnet.prediction.trained_runs import runs_on_real_faces

    folders = runs_on_real_faces(_RUNS, checkpoint=checkpoint)
    if not folders:
        raise UsageError(
            f"--model is missing, and no finished run below {_RUNS}/ was trained on real faces: train one with `dfer "
            "train`, or name a run, an exported .onnx or a checkpoint of the authors' code with --model; `dfer look "
            "VIDEO` needs no model"
        )
    if len(folders) == 1:
        console.warn(f"model: {folders[0]}, the only finished run below {_RUNS}/ that was trained on real faces")
        return folders[0]
    for folder in folders[:_MOST_CHOICES]:
        console.say(f"  {command_line.with_option('--model', str(folder))}", as_json=True)
    if len(folders) > _MOST_CHOICES:
        console.say(f"  and {len(folders) - _MOST_CHOICES} more", as_json=True)
    raise UsageError(
        f"--model is missing, and {counted(len(folders), 'finished run')} below {_RUNS}/ trained on real faces: run "
        "one of the commands above"
    )
