"""What a crash left of bodies: the torn tail of each segment that was being written is set aside and recorded.

Nothing is ever appended to a segment of an earlier process, so this loses nothing: it says that something was lost. A
leaf that a sync confirmed has its body before that tail.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from guard.audit.body_places import FOLDER
from guard.audit.frames import End
from guard.audit.recovery import TornTail, set_aside
from guard.audit.segments import SegmentReader, listing

DAYS: Final = 2  # a process writes under today, and for streams that began before midnight under the day before


def recover_bodies(directory: Path) -> list[TornTail]:
    """Repair the last segment of the newest days of each class; doing it again finds nothing. Raises OSError.

    The names are paths below the writer's directory. A segment that a newer version wrote is left as it is.
    """
    found = []
    for retention in sorted((directory / FOLDER).glob("*-*")):
        for day in sorted(path for path in retention.iterdir() if path.is_dir())[-DAYS:]:
            for path in listing(day)[-1:]:
                # Leaves find bodies by their offset, so those behind damage are as good as before it.
                reader = SegmentReader(path, passing=True)
                for _ in reader.read(whole=True):
                    pass
                if reader.end in {End.COMPLETE, End.VERSION}:
                    continue
                torn = set_aside(path, reader.offset, reader.end)
                if torn is not None:
                    place = day.relative_to(directory)
                    found.append(replace(torn, segment=str(place / torn.segment), file=str(place / torn.file)))
    return found
