"""What the options of `get` say about saved bodies: their names, their digests, what is not fetched again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from asyncfetch.cli.exits import UsageProblem

if TYPE_CHECKING:
    from contextlib import ExitStack

    from asyncfetch.job import Bodies, JobOutcome, Journal, Naming, Preparer

__all__ = ["SavingOptions"]


class SavingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options by name."""

    name: str | None = None
    flat: bool = False
    digest: str | None = None
    skip_existing: bool = False
    refresh: str | None = None

    @classmethod
    def take_from(cls, options: dict[str, Any]) -> SavingOptions:
        """Take what belongs here out of a command's options.

        Raises:
            UsageProblem: they do not make sense together, or --name has no template.
        """
        chosen = cls(**{name: options.pop(name) for name in cls.__struct_fields__ if name in options})
        chosen._check_template()
        if chosen.flat and chosen.name is not None:
            raise UsageProblem("--flat and --name both say what files are called: leave one out")
        if chosen.skip_existing and chosen.refresh is not None:
            raise UsageProblem("--refresh asks about what is there, --skip-existing does not: leave one out")
        if chosen.skip_existing and not chosen.naming.is_telling:
            raise UsageProblem(
                "--skip-existing cannot tell whose file it is by this --name: let {n} stand by itself in it, or "
                "leave one out"
            )
        if options.get("output_dir") is None:
            chosen._check_without_directory()
        return chosen

    def _check_template(self) -> None:
        if self.name is not None:
            from asyncfetch.job import check_template

            try:
                check_template(self.name)
            except ValueError as error:
                raise UsageProblem(f"the template of --name {error}") from error

    def _check_without_directory(self) -> None:
        given = {"name": self.name, "flat": self.flat, "hash": self.digest, "skip-existing": self.skip_existing}
        for option, value in given.items():
            if value:
                raise UsageProblem(f"--{option} is about saved bodies: add -P DIR")

    @property
    def naming(self) -> Naming:
        """What files are called."""
        from asyncfetch.job import Naming

        return Naming(self.name, self.flat)

    def open_bodies(self, directory: str) -> Bodies:
        """Open the directory for bodies.

        Raises:
            JobError: it cannot be used.
        """
        from asyncfetch.job import Bodies

        return Bodies(directory, naming=self.naming, digests=self.digest is not None)

    def open_preparer(self, opened: ExitStack, bodies: Bodies | None, journal: Journal | None) -> Preparer | None:
        """Return what looks at every entry first, if there is anything to look for; it is closed with `opened`.

        Raises:
            JobError: the records to refresh cannot be read.
            UsageProblem: they are those that this job writes.
        """
        if self.refresh is None and not self.skip_existing:
            return None
        from asyncfetch.job import Earlier, Preparer

        if self.refresh is None:
            return Preparer(bodies, skip_existing=True)
        earlier = opened.enter_context(Earlier(self.refresh))
        if journal is not None and journal.file == earlier.file:
            raise UsageProblem("--refresh reads this file, so the new records need another one: -o FILE")
        return Preparer(bodies, earlier=earlier)

    def remarks(self, outcome: JobOutcome) -> list[str]:
        """Say what was not fetched, and why."""
        remarks = []
        if outcome.skipped:
            remarks.append(
                f"{outcome.skipped:,} of these were not fetched: their files are there (--skip-existing)"
            )
        if self.refresh is not None:
            remarks.append(f"{outcome.unchanged:,} of these have not changed since {self.refresh} was written")
        return remarks
