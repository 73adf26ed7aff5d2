"""Where everything lies: a directory that all workers share.

```
uploads/<job>/<input>          what the user uploaded
jobs/<job>/request.json        what the user asked for
jobs/<job>/inputs/<input>      inputs, staged and checksummed
jobs/<job>/outputs/<input>.csv outputs of the runs, and .csv.gz when compressed
jobs/<job>/manifest.json       what the archive contains
archive/<job>.tar              the published result
outbox/<job>.txt               the message to the owner
```

Tasks hand each other names and checksums, never contents. Every file appears in one piece
(`write`), so that a task which is run twice leaves the same state as one that ran once.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["InputMissing", "JobFiles", "Request", "checksum", "root", "write", "write_json"]


class InputMissing(Exception):
    """An input is not in the upload area, or not yet."""


@dataclass(frozen=True)
class Request:
    """What a user asks for.

    Attributes:
        job: Id of the job, and the name of its directories.
        owner: Address of whoever is told of the result.
        inputs: Names of the uploaded files; each is simulated by a run of its own.
        wall_time: Seconds that the cluster reserves for each run.
    """

    job: str
    owner: str
    inputs: Sequence[str]
    wall_time: float = 0.0


@dataclass(frozen=True)
class JobFiles:
    """The files of one job."""

    root: Path
    job: str

    @classmethod
    def of(cls, job: str) -> JobFiles:
        """The files of a job in the shared directory."""
        return cls(root(), job)

    @property
    def work(self) -> Path:
        """The directory that the job works in."""
        return self.root / "jobs" / self.job

    @property
    def manifest(self) -> Path:
        """What the archive contains."""
        return self.work / "manifest.json"

    @property
    def archive(self) -> Path:
        """The published result."""
        return self.root / "archive" / f"{self.job}.tar"

    @property
    def message(self) -> Path:
        """The message to the owner."""
        return self.root / "outbox" / f"{self.job}.txt"

    def upload(self, name: str) -> Path:
        """An input as the user uploaded it."""
        return self.root / "uploads" / self.job / name

    def input(self, name: str) -> Path:
        """An input as the runs see it."""
        return self.work / "inputs" / name

    def output(self, name: str) -> Path:
        """What the run over an input produced."""
        return self.work / "outputs" / f"{name}.csv"

    def compressed(self, name: str) -> Path:
        """The same, compressed."""
        return self.work / "outputs" / f"{name}.csv.gz"

    def accept(self, request: Request) -> None:
        """Write down what the user asked for."""
        write_json(self.work / "request.json", asdict(request))

    def request(self) -> Request:
        """What the user asked for."""
        return Request(**json.loads((self.work / "request.json").read_text()))

    def stage(self, name: str) -> None:
        """Copy an input to where the runs see it.

        Raises:
            InputMissing: It is not in the upload area.
        """
        try:
            content = self.upload(name).read_bytes()
        except FileNotFoundError:
            raise InputMissing(f"{name} of job {self.job} is not uploaded") from None
        write(self.input(name), content)

    def compress(self, name: str) -> None:
        """Compress an output; the same output gives the same bytes."""
        content = self.output(name).read_bytes()
        write(self.compressed(name), gzip.compress(content, mtime=0))

    def publish(self, names: Sequence[str]) -> None:
        """Pack the manifest and the compressed outputs into the archive."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            for path in [self.manifest, *map(self.compressed, names)]:
                member = tarfile.TarInfo(path.name)
                member.size = path.stat().st_size
                with path.open("rb") as file:
                    archive.addfile(member, file)
        write(self.archive, content.getvalue())

    def remove(self) -> None:
        """Remove all that the job left behind, except for the uploads and the message."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.archive.unlink(missing_ok=True)


def root() -> Path:
    """The directory that all workers share: ``SCIENCE_GATEWAY_ROOT``."""
    return Path(os.environ["SCIENCE_GATEWAY_ROOT"])


def checksum(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(path: Path, content: bytes | str) -> None:
    """Write a file so that it is there in one piece or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    part.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write a file of JSON, likewise."""
    write(path, json.dumps(value, indent=2, sort_keys=True) + "\n")
