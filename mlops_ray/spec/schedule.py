"""A cron expression in a time zone."""

import re
from typing import Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from mlops_ray.spec.section import Section

__all__ = ["Schedule"]

_FIELDS = 5
# croniter's hashed (h) and random (r) parts: another time in every process.
_CHANCE = re.compile(r"(^|[\s,])[hr]($|[\s,(/])", re.IGNORECASE)


class Schedule(Section):
    """When something is due, in the local time of a zone.

    A local time that the clocks skip in spring counts as many minutes after the jump as it lay behind the old time; one
    that comes twice in autumn counts once, the first time.
    """

    cron: str = Field(description="minute hour day-of-month month day-of-week, such as '0 3 * * 1'")
    timezone: str = Field("UTC", description="name in the IANA time zone database, such as Europe/Berlin")

    @field_validator("timezone")
    @classmethod
    def _zone_is_known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError; a folder's name an OSError
            raise ValueError(f"timezone: expected a name like Europe/Berlin or UTC, found {value!r}") from None
        return value

    @model_validator(mode="after")
    def _comes_some_time(self) -> Self:
        # only those who have a schedule need it
        from croniter import CroniterBadDateError, CroniterError, croniter

        if len(self.cron.split()) != _FIELDS or _CHANCE.search(self.cron):
            raise ValueError(f"cron: expected five fields, minute hour day month weekday, found {self.cron!r}")
        try:
            croniter(self.cron).get_next()
        except CroniterBadDateError:
            raise ValueError(f"cron: expected a time that comes, found {self.cron!r}, which never does") from None
        except (CroniterError, TypeError) as error:
            raise ValueError(
                f"cron: expected an expression such as '0 3 * * 1', found {self.cron!r}: {error}"
            ) from None
        return self
