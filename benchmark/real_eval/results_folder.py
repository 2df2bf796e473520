"""The folder of an evaluation: a file for each trial, and the protocol that all of them have in common."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from baselines.run_folder import versions
from benchmark.real_eval.entrants import Entrant, slug_of
from benchmark.real_eval.rules import Job, Rules
from benchmark.trials import Trial
from dexscrew_envs.files import check_folder, holds_nothing, plain, write_json

_PROTOCOL = "protocol.json"


class ResultsFolder:
    """A folder with a file for each trial, all by the same rules.

    Args:
        path: of the folder, which the caller has to itself.
        rules: of all trials.
        entrants: whose trials will be added.

    Raises:
        ValueError: the folder holds trials by other rules or of another policy of the same name, or something else.
        WriteError: it cannot be written.
    """

    def __init__(self, path: Path, rules: Rules, entrants: Sequence[Entrant]) -> None:
        self.path = path
        self._measured = rules.robot != "config"
        there = read_protocol(path)
        check_protocol(path, there, rules, entrants)
        known = there["policies"] if there else {}
        known = known | {one.label: one.digest for one in entrants}
        content = {"rules": asdict(rules), "policies": known, "versions": versions()}
        write_json(content, path / _PROTOCOL)

    def log(self, entrant: Entrant) -> Path:
        """Return the folder of a policy's recordings."""
        return self.path / "logs" / entrant.slug

    def read(self, job: Job) -> dict[str, Any] | None:
        """Return the record of a trial, or None if it was not done yet.

        Raises:
            ValueError: the file is damaged.
        """
        path = self._file(job)
        if not path.exists():
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if self._measured or record["progress"] is not None:  # else a person has yet to say how far it went
                trial_of(record)
            there = record.get("policy", job.entrant.label), record.get("shape", job.shape), record["seed"]
            if there != (job.entrant.label, job.shape, job.seed):
                raise ValueError(f"it is of {there[0]!r}, {there[1]} and seed {there[2]}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is not the record of a trial ({error}); remove it to do that trial again"
            ) from error
        return record

    def write(self, job: Job, record: dict[str, Any]) -> None:
        """Keep the record of a trial."""
        write_json(record, self._file(job))

    def remove(self, job: Job) -> None:
        """Forget a trial, so that it is done again."""
        self._file(job).unlink(missing_ok=True)

    def _file(self, job: Job) -> Path:
        return self.path / "trials" / f"{job.entrant.slug}-{job.shape}-{job.seed:04}.json"


def read_protocol(path: Path) -> dict[str, Any] | None:
    """Return what a results folder says of its trials, or None where there is none yet.

    Raises:
        ValueError: the folder cannot be written, or holds something else.
    """
    check_folder(path)
    file = path / _PROTOCOL
    if not file.exists():
        if not holds_nothing(path):
            raise ValueError(f"{path} is not empty and holds no evaluation; give another --out")
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {"rules": dict(content["rules"]), "policies": dict(content["policies"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is not the protocol of an evaluation ({error}); give another --out") from error


def check_protocol(path: Path, there: dict[str, Any] | None, rules: Rules, entrants: Sequence[Entrant]) -> None:
    """Refuse a folder whose trials do not stand beside those that are asked for.

    Raises:
        ValueError: it holds trials by other rules, or of another policy of the same name; the message says which.
    """
    if there is None:
        return
    wanted = plain(asdict(rules))
    differing = [f"{name} {there['rules'].get(name)!r}, not {value!r}" for name, value in wanted.items()
                 if there["rules"].get(name) != value]  # fmt: skip
    if differing:
        raise ValueError(f"{path} holds trials by other rules: {'; '.join(differing)}; give another --out")
    for entrant in entrants:
        for label in there["policies"]:
            if label != entrant.label and slug_of(label) == entrant.slug:
                raise ValueError(
                    f"{path} holds trials of {label!r}, and those of {entrant.label!r} would have the same files; give "
                    f"another label (name={entrant.source}), or another --out"
                )
        if there["policies"].get(entrant.label, entrant.digest) != entrant.digest:
            raise ValueError(
                f"{path} holds trials of another policy called {entrant.label!r}; give another label "
                f"(name={entrant.source}), or another --out"
            )


def trial_of(record: dict[str, Any]) -> Trial:
    """Return the part of a trial's record that statistics need."""
    found = Trial(record["seed"], record["progress"], record["complete"], record["seconds"], record["kind"])
    if not isinstance(found.complete, bool):
        raise TypeError(f"complete must be true or false, got {found.complete!r}")
    return found
