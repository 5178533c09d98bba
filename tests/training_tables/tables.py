"""The tables by name, in the order their fine-tunings are run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.training_tables import detection_segmentation, gdq, nm, ste, tuning, types_abc
from tests.training_tables.jobs import Job, Store


@dataclass(frozen=True, slots=True)
class Table:
    """A page, or a part of one.

    Attributes:
        jobs: Its fine-tunings.
        write: Writes the page.
        extra: Run after all seeds of tables that are not.
    """

    jobs: Callable[[], list[Job]]
    write: Callable[[Store], None]
    extra: bool = False


TABLES: Final[dict[str, Table]] = {
    "tuning": Table(tuning.jobs, tuning.write),
    "ste": Table(ste.main_jobs, ste.write),
    "nm": Table(nm.main_jobs, nm.write),
    "gdq": Table(gdq.main_jobs, gdq.write),
    "dense": Table(detection_segmentation.jobs, detection_segmentation.write),
    "types": Table(types_abc.jobs, types_abc.write),
    "ste-more": Table(ste.more_jobs, ste.write, extra=True),
    "gdq-more": Table(gdq.more_jobs, gdq.write, extra=True),
    "nm-more": Table(nm.more_jobs, nm.write, extra=True),
    "gdq-longer": Table(gdq.longer_jobs, gdq.write, extra=True),
    "dense-longer": Table(
        detection_segmentation.longer_jobs, detection_segmentation.write, extra=True
    ),
    "nm-longer": Table(nm.longer_jobs, nm.write, extra=True),
}
