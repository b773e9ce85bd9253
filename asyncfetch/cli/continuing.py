"""`get -c`: go on with the options that the job was begun with, secrets excepted.

The job file remembers what the list is, where everything goes and how it is fetched. What would give another
meaning to the records that are there (`_MEANING`) may not be changed; the rest may, and is remembered from then on.
What only concerns one run (what is shown, when to stop) is not remembered.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from asyncfetch.cli.exits import UsageProblem
from asyncfetch.cli.secrets import is_secret
from asyncfetch.job import JobError, missing_job_file, read_job_file
from asyncfetch.url import redacted

__all__ = ["command_to_go_on", "remembered_options", "results_of", "settings_for", "try_again"]

_RESULTS = "results.jsonl"
_MEANING = {
    "output_dir": "-P",
    "name": "--name",
    "flat": "--flat",
    "digest": "--hash",
    "skip_existing": "--skip-existing",
    "refresh": "--refresh",
    "headers": "-H",
    "user_agent": "-A",
    "head": "-I",
    "location": "-L/--no-location",
    "max_redirs": "--max-redirs",
    "robots": "--robots",
    "input_format": "--input-format",
    "url_field": "--url-field",
    "include": "--include",
    "exclude": "--exclude",
    "limit": "--limit",
    "dedupe": "--dedupe",
}
_HARMLESS = (
    "max_time", "connect_timeout", "head_timeout", "read_timeout", "speed_limit", "speed_time", "insecure",
    "cacert", "ipv4", "ipv6", "resolve", "public_only", "allow_net", "deny_net", "loop", "jobs", "max_per_host",
    "retry", "max_filesize", "rate", "delay", "global_rate", "limit_rate", "adapt", "max_wait", "config",
)  # fmt: skip
_INPUT = ("sources", "input_file", "sitemaps")
_SOURCES = "SOURCE"

Options = Mapping[str, Any]


def results_of(output: str | None, output_dir: str | None) -> str | None:
    """Return the results file that -o and -P name, or None."""
    if output is not None or output_dir is None:
        return output
    return str(Path(output_dir, _RESULTS))


def settings_for(options: Options) -> dict[str, Any]:
    """Return what the job file is to hold: no secret, only what it takes to ask for it again."""
    again = _secrets(options)
    kept = {name: options[name] for name in (*_INPUT, *_MEANING, *_HARMLESS)}
    kept["headers"] = _public(options["headers"])
    if _SOURCES in again:
        kept |= dict.fromkeys(_INPUT, ())
    return {"cwd": str(Path.cwd()), "options": kept, "again": again}


def remembered_options(options: Options, given: set[str]) -> dict[str, Any]:
    """Complete the options by what the job file remembers.

    Args:
        options: of `get`, by name.
        given: names of those that were given, not left to their defaults.

    Raises:
        UsageProblem: there is nothing to go on with, it was begun with other options, or secrets are missing.
    """
    results = results_of(options["output"], options["output_dir"])
    if results is None or results == "-":
        raise UsageProblem("-c goes on with a results file: name it with -o FILE, or its directory with -P DIR")
    if options["overwrite"]:
        raise UsageProblem("-c keeps the results that are there, --overwrite does not: leave one out")
    try:
        remembered = read_job_file(results)
    except JobError as error:
        raise UsageProblem(str(error)) from error
    has_input = any(options[name] for name in _INPUT)
    is_begun = Path(results).is_file() and Path(results).stat().st_size > 0
    if remembered is None or (has_input and not is_begun):
        if is_begun and not has_input:
            raise UsageProblem(str(missing_job_file(results)))
        return dict(options)
    return _merged(options, given, remembered.settings)


def _merged(options: Options, given: set[str], settings: dict[str, Any]) -> dict[str, Any]:
    again, secrets = settings["again"], _secrets(options)
    has_input = any(options[name] for name in _INPUT if name in given)
    if missing := [label for label in again if label not in secrets and not (label == _SOURCES and has_input)]:
        raise UsageProblem(f"the job file holds no secrets: to go on, give {' and '.join(missing)} again")
    old = _known(options, given) | _frozen(_rebased(settings["options"], settings["cwd"]))
    changed = [_MEANING[name] for name in _MEANING if name in given and _differs(name, options[name], old[name])]
    changed += [label for label in secrets if label not in again and label != _SOURCES]
    if changed:
        raise UsageProblem(
            f"the job was begun with another {', '.join(changed)}: leave that out to go on, or begin anew with "
            "another -o"
        )
    left = [name for name in (*_MEANING, *_HARMLESS) if name not in given]
    left += [] if has_input else list(_INPUT)
    merged = {**options, **{name: old[name] for name in left}}
    merged["headers"] = old["headers"] + tuple(h for h in options["headers"] if is_secret(*h))
    return merged


def _known(options: Options, given: set[str]) -> dict[str, Any]:
    """Return what was meant by options that the job file does not know, because it is older: their defaults."""
    return {name: None if name in given else value for name, value in options.items()}


def _differs(name: str, new: Any, old: Any) -> bool:
    if name == "headers":
        return bool(_public(new) and _public(new) != old)
    if name in {"output_dir", "refresh"} and None not in (new, old):
        return Path(new).resolve() != Path(old).resolve()
    return bool(new != old)


def _secrets(options: Options) -> list[str]:
    """Name the options that hold what must not be in the job file."""
    labels = [f"-H {name}" for name, value in options["headers"] if is_secret(name, value)]
    labels += [f"--secret-header {name}" for name, _ in options["secret_headers"]]
    labels += [label for name, label in (("user", "-u"), ("cert", "-E"), ("key", "--key")) if options[name]]
    if any(redacted(spec) != spec for name in _INPUT for spec in options[name] if "://" in spec):
        labels.append(_SOURCES)
    return labels


def _public(headers: tuple[tuple[str, str | None], ...]) -> tuple[tuple[str, str | None], ...]:
    return tuple(header for header in headers if not is_secret(*header))


def _rebased(options: dict[str, Any], directory: str) -> dict[str, Any]:
    """Let names of files mean what they meant in the directory that the job was begun in."""
    if directory == str(Path.cwd()):
        return options

    def rebase(name: str) -> str:
        return name if name == "-" or "://" in name else str(Path(directory, name))

    moved: dict[str, Any] = {name: [rebase(spec) for spec in options.get(name, ())] for name in _INPUT}
    moved |= {name: rebase(options[name]) for name in ("output_dir", "cacert", "refresh") if options.get(name)}
    return {**options, **moved}


def _frozen(value: Any) -> Any:
    """Make tuples of the lists that JSON has made of them."""
    if isinstance(value, dict):
        return {name: _frozen(item) for name, item in value.items()}
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def command_to_go_on(results: str, settings: dict[str, Any]) -> str:
    """Return the command that goes on with a job, and say what has to be given again."""
    again = list(settings["again"])
    command = f"go on with: asyncfetch get -c -o {shlex.quote(results)}"
    if again:
        command += f" (give {' and '.join(again)} again)"
    if any("-" in settings["options"][name] for name in _INPUT):
        command += " (and the same lines on the standard input)"
    return command


def try_again(codes: frozenset[str] | None) -> Callable[[str], bool] | None:
    """Return what says of an error code whether it is to be tried again; None if nothing is."""
    if codes is None:
        return None
    return lambda code: not codes or code in codes or code.partition(".")[0] in codes
