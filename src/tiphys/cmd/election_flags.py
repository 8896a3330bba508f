"""Flags of components of which one of several works: upstream's ``--leader-elect`` family and booleans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from tiphys.client.leaderelection import Election, Timings
from tiphys.cmd.duration import DURATION

Decorator = Callable[[Callable[..., None]], Callable[..., None]]
_LOCKS = ("leases",)


def go_bool(name: str, *, default: bool, help: str) -> Decorator:
    """Return a flag in upstream's form: ``--name``, ``--name=true`` or ``--name=false``."""
    return click.option(
        name, type=bool, is_flag=False, flag_value=True, default=default, show_default=True, help=help
    )


def election_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags; ``read_election`` takes them out of the command's keywords."""
    flags = (
        go_bool("--leader-elect", default=True, help="Work only while holding the lease."),
        click.option(
            "--leader-elect-resource-lock", type=click.Choice(_LOCKS), default="leases", hidden=True
        ),
        click.option("--leader-elect-resource-name", default="", help="The lease's name."),
        click.option("--leader-elect-resource-namespace", default="", help="Its namespace."),
        click.option("--leader-elect-lease-duration", type=DURATION, default=None, help="Default 15s."),
        click.option("--leader-elect-renew-deadline", type=DURATION, default=None, help="Default 10s."),
        click.option("--leader-elect-retry-period", type=DURATION, default=None, help="Default 2s."),
    )
    for flag in reversed(flags):
        command = flag(command)
    return command


def read_election(
    flags: dict[str, Any], name: str, document: dict[str, Any] | None = None
) -> tuple[bool, Election]:
    """Return whether to compete and how, and take these flags away; a given flag beats the ``document``.

    Raises click.UsageError for times that leave no room to renew.
    """
    given = document or {}
    # The flag is on unless it is turned off; a document may turn it off as well.
    lead = bool(flags.pop("leader_elect")) and given.get("leaderElect") is not False
    flags.pop("leader_elect_resource_lock")
    lease_name = flags.pop("leader_elect_resource_name") or given.get("resourceName") or name
    namespace = (
        flags.pop("leader_elect_resource_namespace") or given.get("resourceNamespace") or "kube-system"
    )
    seconds = [
        _seconds(flags.pop(f"leader_elect_{flag}"), given.get(key), usual)
        for flag, key, usual in (
            ("lease_duration", "leaseDuration", 15.0),
            ("renew_deadline", "renewDeadline", 10.0),
            ("retry_period", "retryPeriod", 2.0),
        )
    ]
    lease_s, renew_s, retry_s = seconds
    if lease_s <= renew_s:
        raise click.UsageError("LeaseDuration must be greater than RenewDeadline")
    if renew_s <= retry_s * 1.2:
        raise click.UsageError("renewDeadline must be greater than retryPeriod*JitterFactor")
    return lead, Election(lease_name, namespace, Timings(int(lease_s), renew_s, retry_s))


def _seconds(flag: float | None, text: Any, usual: float) -> float:
    if flag is not None:
        return flag
    return DURATION.convert(text, None, None) if text else usual
