"""trials.jsonl: what happened in a search or study, event by event. It only grows, so it survives any interruption."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .overrides import Point

LOG_NAME = "trials.jsonl"
EPOCH_KEYS = ("score", "metrics", "seconds", "host", "pid", "time")


@dataclass
class Trial:
    """One point of a space, or one run of a study.

    Args:
        id: Tune's.
        number: From 1, in the order in which trials started.
        point: Field -> value; the last one of a population's trial.
        status: `running`, `finished`, `stopped` (early) or `failed`.
        reason: Why it failed.
        epochs: Score, metrics and seconds of each epoch.
        points: Epoch -> point, where it changed.
    """

    id: str
    number: int
    point: Point
    status: str = "running"
    reason: str = ""
    epochs: dict[int, dict[str, Any]] = field(default_factory=dict)
    points: dict[int, Point] = field(default_factory=dict)

    @property
    def score(self) -> float | None:
        """Of its last epoch."""
        return self.epochs[max(self.epochs)].get("score") if self.epochs else None

    @property
    def seconds(self) -> float:
        """Of training, including loading of the data."""
        return self.epochs[max(self.epochs)]["seconds"] if self.epochs else 0.0

    @property
    def scores(self) -> dict[int, float]:
        """Epoch -> score, in order."""
        return {epoch: self.epochs[epoch]["score"] for epoch in sorted(self.epochs) if "score" in self.epochs[epoch]}

    def to_dict(self) -> dict[str, Any]:
        """For search.json."""
        history = [{"epoch": epoch, **self.epochs[epoch]} for epoch in sorted(self.epochs)]
        entry = {"number": self.number, "point": self.point, "status": self.status, "score": self.score}
        entry |= {"epochs": len(self.epochs), "seconds": round(self.seconds, 1), "history": history}
        entry |= {"reason": self.reason} if self.reason else {}
        return entry | ({"points": self.points} if len(self.points) > 1 else {})

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take an event of the log into account."""
        kind = event["event"]
        self.point = event.get("point", self.point)
        if kind == "start":
            self.status = "running"
        elif kind == "epoch":
            # An epoch that was trained again after a kill counts once, and later ones are no longer true.
            self.epochs = {epoch: entry for epoch, entry in self.epochs.items() if epoch < event["epoch"]}
            self.epochs[event["epoch"]] = {key: event[key] for key in EPOCH_KEYS if key in event}
            if event["point"] not in list(self.points.values())[-1:]:
                self.points[event["epoch"]] = event["point"]
        elif kind == "failed":
            self.status, self.reason = "failed", event["reason"]
        elif kind == "end" and self.status != "failed":
            self.status = "finished" if len(self.epochs) >= event["epochs"] else "stopped"


def write_event(folder: Path, kind: str, trial: str, **content: object) -> None:
    """Append an event."""
    line = json.dumps({"event": kind, "trial": trial, "time": round(time.time(), 2), **content}, default=str)
    with open(folder / LOG_NAME, "a+b") as file:
        if file.seek(0, 2):  # after a line that a kill cut off
            file.seek(-1, 2)
            line = line if file.read(1) == b"\n" else "\n" + line
        file.write((line + "\n").encode())


def read_events(folder: Path) -> Iterator[dict[str, Any]]:
    """All events; incomplete lines are left out."""
    path = folder / LOG_NAME
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


def read_trials(folder: Path) -> list[Trial]:
    """The trials of a search or study so far."""
    trials: dict[str, Trial] = {}
    for event in read_events(folder):
        if event["trial"]:
            trial = trials.setdefault(event["trial"], Trial(event["trial"], len(trials) + 1, event.get("point", {})))
            trial.apply(event)
    return list(trials.values())


def wall_seconds(folder: Path) -> float:
    """How long the search ran: from each start to the last event before the next, without interruptions."""
    seconds, last = 0.0, None
    for event in read_events(folder):
        if last is not None and event["event"] != "begin":
            seconds += event["time"] - last
        last = event["time"]
    return round(seconds, 1)


def ranked(trials: list[Trial], greater_is_better: bool) -> list[Trial]:
    """The best first; failed trials last, whatever their score."""
    sign = -1 if greater_is_better else 1

    def key(trial: Trial) -> tuple[bool, float]:
        score = None if trial.status == "failed" else trial.score
        return score is None, 0.0 if score is None else sign * score

    return sorted(trials, key=key)


__all__ = ["LOG_NAME", "Trial", "ranked", "read_events", "read_trials", "wall_seconds", "write_event"]
