"""What happened in a search, event by event in a file that only grows: it survives whatever ends the process."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LOG_NAME = "trials.jsonl"


@dataclass
class Trial:
    """One point of the space and what became of it.

    Args:
        id: Tune's.
        number: In the order in which trials began, from 1.
        point: Field -> value; of a population's trial, its last.
        status: `running`, `finished`, `stopped` (early), `failed` or `waiting` (paused).
        reason: Why it failed.
        epochs: Score, metrics and seconds of each epoch.
        points: Where the point changed: epoch -> point.
    """

    id: str
    number: int
    point: dict[str, Any]
    status: str = "running"
    reason: str = ""
    epochs: dict[int, dict[str, Any]] = field(default_factory=dict)
    points: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def score(self) -> float | None:
        """Of its last epoch."""
        return self.epochs[max(self.epochs)]["score"] if self.epochs else None

    @property
    def seconds(self) -> float:
        """Of training, loading of the data included."""
        return self.epochs[max(self.epochs)]["seconds"] if self.epochs else 0.0

    def to_dict(self) -> dict[str, Any]:
        """For search.json."""
        history = [{"epoch": epoch, **self.epochs[epoch]} for epoch in sorted(self.epochs)]
        found = {"number": self.number, "point": self.point, "status": self.status, "score": self.score}
        found |= {"epochs": len(self.epochs), "seconds": round(self.seconds, 1), "history": history}
        found |= {"reason": self.reason} if self.reason else {}
        return found | ({"points": self.points} if len(self.points) > 1 else {})


def write_event(folder: Path, kind: str, trial: str, **content: Any) -> None:
    """Add an event to the file."""
    line = json.dumps({"event": kind, "trial": trial, "time": round(time.time(), 2), **content}, default=str)
    with open(folder / LOG_NAME, "a+b") as file:
        if file.seek(0, 2):  # a line that a kill cut off stays alone
            file.seek(-1, 2)
            line = line if file.read(1) == b"\n" else "\n" + line
        file.write((line + "\n").encode())


def read_events(folder: Path) -> Iterator[dict[str, Any]]:
    """All events; a last line that was cut off is left out."""
    path = folder / LOG_NAME
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


def read_trials(folder: Path) -> list[Trial]:
    """The trials of a search as far as they came. An epoch that was trained twice after a kill counts once."""
    trials: dict[str, Trial] = {}
    for event in read_events(folder):
        if not event["trial"]:
            continue
        trial = trials.setdefault(event["trial"], Trial(event["trial"], len(trials) + 1, event.get("point", {})))
        _apply(trial, event)
    return list(trials.values())


def _apply(trial: Trial, event: Mapping[str, Any]) -> None:
    kind = event["event"]
    if "point" in event:
        trial.point = event["point"]
    if kind == "start":
        trial.status = "running"
    elif kind == "epoch":
        entry = {key: event[key] for key in ("score", "metrics", "seconds", "host", "pid", "time") if key in event}
        trial.epochs[event["epoch"]] = entry
        # A checkpoint from which the trial went on is older than what it had reported then.
        trial.epochs = {epoch: found for epoch, found in trial.epochs.items() if epoch <= event["epoch"]}
        if event["point"] not in list(trial.points.values())[-1:]:
            trial.points[event["epoch"]] = event["point"]
    elif kind == "failed":
        trial.status, trial.reason = "failed", event["reason"]
    elif kind == "end" and trial.status != "failed":
        trial.status = "finished" if len(trial.epochs) >= event["epochs"] else "stopped"


def wall_seconds(folder: Path) -> float:
    """How long the search ran, from each beginning to the last event before the next: interruptions aside."""
    seconds, last = 0.0, None
    for event in read_events(folder):
        if last is not None and event["event"] != "begin":
            seconds += event["time"] - last
        last = event["time"]
    return round(seconds, 1)


def ranked(trials: list[Trial], greater_is_better: bool) -> list[Trial]:
    """The best first. Of trials that failed the score does not count: they come last."""
    sign = -1 if greater_is_better else 1

    def key(trial: Trial) -> tuple[bool, float]:
        bad = trial.status == "failed" or trial.score is None
        return bad, 0.0 if bad else sign * float(trial.score or 0)

    return sorted(trials, key=key)


__all__ = ["LOG_NAME", "Trial", "ranked", "read_events", "read_trials", "wall_seconds", "write_event"]
