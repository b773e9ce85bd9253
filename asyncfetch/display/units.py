"""Numbers for people: thousands separators, three digits and a unit, times that can be read at a glance.

Sizes and speeds are decimal (1 kB is 1000 bytes, 1 MB is 1000 kB), as networks and disks count.
"""

from __future__ import annotations

__all__ = [
    "clock",
    "count",
    "counted",
    "duration",
    "latency",
    "percent",
    "rate",
    "roughly",
    "short_count",
    "size",
    "speed",
]

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


def count(number: int) -> str:
    """Write a whole number: `1,234,567`."""
    return f"{number:,}"


def counted(number: int, one: str, many: str = "") -> str:
    """Write how many there are of something: `1 host`, `1,234 hosts`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def short_count(number: int, width: int = 7) -> str:
    """Write a whole number in at most `width` characters, 5 or more: `999,999`, then `1.2 M`."""
    whole = f"{number:,}"
    return whole if len(whole) <= width else _scaled(number / 1e3, ("k", "M", "G", "T"))


def size(number: float) -> str:
    """Write bytes in at most 6 characters: `5.6 MB`, `56 kB`, `999 B`."""
    return f"{number:.0f} B" if number < 999.5 else _scaled(number / 1e3, ("kB", "MB", "GB", "TB", "PB"))


def speed(number: float) -> str:
    """Write bytes per second: `5.6 MB/s`."""
    return f"{size(number)}/s"


def rate(number: float) -> str:
    """Write things per second: `1,234/s`, `3.4/s`."""
    return f"{number:,.0f}/s" if number >= 9.95 or number < 0.05 else f"{number:.1f}/s"


def percent(part: int, whole: int) -> str:
    """Write a share, rounded down: `100 %` is said only when nothing is left."""
    return f"{min(100, part * 100 // whole) if whole else 100} %"


def latency(seconds: float) -> str:
    """Write a short time in at most 6 characters: `0.4 ms`, `12 ms`, `0.12 s`, `1.2 s`, `123 s`, `20 m`."""
    if seconds < 0.00995:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 0.0995:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 0.995:
        return f"{seconds:.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 999.5 else f"{seconds / _MINUTE:.0f} m"


def duration(seconds: float) -> str:
    """Write a time: `0.12 s`, `42 s`, `3 m 20 s`, `2 h 5 m`, `3 d 4 h`."""
    if seconds < 59.5:
        return latency(seconds)
    whole = round(seconds)
    for one, inside, name, name_inside in ((_DAY, _HOUR, "d", "h"), (_HOUR, _MINUTE, "h", "m")):
        if whole >= one:
            return f"{whole // one:,} {name} {whole % one // inside} {name_inside}"
    return f"{whole // _MINUTE} m {whole % _MINUTE} s"


def clock(seconds: float) -> str:
    """Write a time that runs, in whole seconds: `0 s`, `42 s`, `3 m 20 s`."""
    return duration(seconds) if seconds >= 59.5 else f"{seconds:.0f} s"


def roughly(seconds: float) -> str:
    """Write an estimate, without digits that nobody can know: `42 s`, `3 m 20 s`, `25 m`, `2 h 5 m`."""
    if seconds < _MINUTE:
        return f"{max(1, round(seconds))} s"
    if seconds < 10 * _MINUTE:
        return duration(5 * round(seconds / 5))
    minutes = round(seconds / _MINUTE)
    return f"{minutes} m" if minutes < 60 else duration(minutes * _MINUTE)


def _scaled(number: float, units: tuple[str, ...]) -> str:
    for unit in units[:-1]:
        if number < 999.5:
            return f"{number:.1f} {unit}" if number < 9.95 else f"{number:.0f} {unit}"
        number /= 1e3
    return f"{number:.1f} {units[-1]}" if number < 9.95 else f"{number:,.0f} {units[-1]}"
