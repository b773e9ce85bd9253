"""Settings: frozen, with sound defaults, and refused when they make no sense."""

from __future__ import annotations

import dataclasses
import math
import socket
from typing import Any

import pytest

from asyncfetch import Limits, Network, Redirects, Retry, Timeouts, TLSSettings

ALL = [Limits, Timeouts, Retry, Redirects, TLSSettings, Network]


@pytest.mark.parametrize("kind", ALL)
def test_defaults_are_valid_and_frozen(kind: Any) -> None:
    """Each can be made without arguments, compared, and not changed."""
    settings = kind()
    assert settings == kind()
    name = dataclasses.fields(kind)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(settings, name, None)
    with pytest.raises(TypeError):
        kind(1)


@pytest.mark.parametrize("kind", ALL)
def test_every_setting_is_documented(kind: Any) -> None:
    """The docstring names each field."""
    for field in dataclasses.fields(kind):
        assert field.name in kind.__doc__


@pytest.mark.parametrize(
    ("kind", "settings", "sentence"),
    [
        (Limits, {"total": 0}, "Limits.total must be at least 1, not 0"),
        (Limits, {"per_host": 0}, "Limits.per_host must be at least 1, not 0"),
        (Limits, {"queued": -1}, "Limits.queued must be at least 1, not -1"),
        (Limits, {"buffered": 0}, "Limits.buffered must be at least 1, not 0"),
        (Limits, {"buffered_bytes": 0}, "Limits.buffered_bytes must be at least 1, not 0"),
        (Limits, {"max_body": -1}, "Limits.max_body must not be negative"),
        (Limits, {"idle_total": -1}, "Limits.idle_total must not be negative"),
        (Limits, {"idle_seconds": -1}, "Limits.idle_seconds must not be negative"),
        (Timeouts, {"connect": 0}, "Timeouts.connect must be above 0 seconds, not 0"),
        (Timeouts, {"connect": None}, "Timeouts.connect must be above 0 seconds, not None"),
        (Timeouts, {"head": -1}, "Timeouts.head must be above 0 seconds, not -1"),
        (Timeouts, {"head": None}, "Timeouts.head must be above 0 seconds, not None"),
        (Timeouts, {"read": 0.0}, "Timeouts.read must be above 0 seconds, not 0.0"),
        (Timeouts, {"total": 0}, "Timeouts.total must be above 0 seconds, not 0"),
        (Timeouts, {"total": math.nan}, "Timeouts.total must be above 0 seconds, not nan"),
        (Timeouts, {"speed_time": None}, "Timeouts.speed_time must be above 0 seconds, not None"),
        (Timeouts, {"speed_limit": -1}, "Timeouts.speed_limit must not be negative"),
        (Retry, {"attempts": 0}, "Retry.attempts must be at least 1, not 0"),
        (Retry, {"backoff": -0.1}, "Retry.backoff must not be negative"),
        (Retry, {"backoff_most": -1}, "Retry.backoff_most must not be negative"),
        (Retry, {"max_wait": -1}, "Retry.max_wait must not be negative"),
        (Retry, {"wait_budget": -1}, "Retry.wait_budget must not be negative"),
        (Redirects, {"most": -1}, "Redirects.most must not be negative, not -1"),
        (TLSSettings, {"key_file": "key.pem"}, "a key_file needs its cert_file"),
        (Network, {"family": "ipx"}, "Network.family must be any, ipv4 or ipv6, not 'ipx'"),
        (Network, {"resolver_threads": 0}, "Network.resolver_threads must be at least 1"),
        (Network, {"name_ttl": -1}, "Network.name_ttl must not be negative"),
        (Network, {"failure_ttl": -1}, "Network.failure_ttl must not be negative"),
        (Network, {"stagger": -1}, "Network.stagger must not be negative"),
    ],
)
def test_nonsense_is_refused(kind: Any, settings: dict[str, Any], sentence: str) -> None:
    """One clear sentence says which setting and why."""
    with pytest.raises(ValueError) as caught:
        kind(**settings)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", ["total", "per_host", "queued", "buffered", "buffered_bytes"])
def test_a_count_is_a_whole_number(name: str) -> None:
    """Half a request is none."""
    with pytest.raises(TypeError, match=rf"Limits\.{name} is a whole number, not 1\.5"):
        Limits(**{name: 1.5})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (Limits, {"total": 1, "per_host": 100, "queued": 1, "buffered": 1, "buffered_bytes": 1}),
        (Limits, {"max_body": None}),
        (Limits, {"max_body": 0, "idle_total": 0, "idle_seconds": 0}),
        (Timeouts, {"read": None, "total": None, "speed_limit": 0}),
        (Retry, {"attempts": 1, "backoff": 0, "backoff_most": 0, "max_wait": 0, "wait_budget": 0}),
        (Redirects, {"most": 0}),
        (TLSSettings, {"cert_file": "a.pem", "key_file": "b.pem"}),
    ],
)
def test_the_ends_of_each_range_are_allowed(kind: Any, settings: dict[str, Any]) -> None:
    """What the docstring allows can be set."""
    made = kind(**settings)
    assert {name: getattr(made, name) for name in settings} == settings


@pytest.mark.parametrize(
    ("family", "number"), [("any", socket.AF_UNSPEC), ("ipv4", socket.AF_INET), ("ipv6", socket.AF_INET6)]
)
def test_families(family: Any, number: int) -> None:
    """The words stand for what the resolver takes."""
    assert Network(family=family).address_family == number
