"""The smallest nft transaction that turns one table into another.

Pure. Order matters to the kernel: what is referred to must exist before, what goes must be let go of first.
"""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.proxy.ruleset import Fragment, Table

_BATCH = 500


def transaction(old: Table | None, new: Table) -> list[str]:
    """Return nft commands that lead from ``old`` to ``new``; without ``old``, all of it, whatever is there.

    Empty when nothing differs. The commands are one transaction: apply all or none.
    """
    if old is None:
        start = [f"add table {new.ref}", f"delete table {new.ref}", f"add table {new.ref}"]
        empty = Table(new.family, new.name, {}, {}, {})
        return [*start, *_changes(empty, new)]
    return list(_changes(old, new))


def _changes(old: Table, new: Table) -> Iterator[str]:
    replaced = {
        name
        for name, spec in new.containers.items()
        if name in old.containers and old.containers[name] != spec
    }
    if replaced:
        # A container's type cannot change while rules refer to it: start over (rare, and still atomic).
        yield from transaction(None, new)
        return
    yield from _add_names(old, new)
    yield from _write_chains(old, new)
    yield from _elements(old, new)
    yield from _drop_names(old, new)


def _add_names(old: Table, new: Table) -> Iterator[str]:
    for name, container in new.containers.items():
        if name not in old.containers:
            yield f"add {container.kind} {new.ref} {name} {{ {container.spec} }}"
    for name, chain in new.chains.items():
        if name not in old.chains:
            hook = f" {{ {chain.hook} }}" if chain.hook else ""
            yield f"add chain {new.ref} {name}{hook}"


def _write_chains(old: Table, new: Table) -> Iterator[str]:
    for name, chain in new.chains.items():
        held = old.chains.get(name)
        if held is not None and held.rules == chain.rules:
            continue
        if held is not None:
            yield f"flush chain {new.ref} {name}"
        for rule in chain.rules:
            yield f"add rule {new.ref} {name} {rule}"


def _elements(old: Table, new: Table) -> Iterator[str]:
    for name in new.containers:
        before, after = old.elements.get(name, {}), new.elements.get(name, {})
        if before == after:
            continue
        gone = [key for key, value in before.items() if after.get(key) != value]
        come = [
            f"{key} : {value}" if value else key for key, value in after.items() if before.get(key) != value
        ]
        for command, items in (("delete", gone), ("add", come)):
            for start in range(0, len(items), _BATCH):
                yield f"{command} element {new.ref} {name} {{ {', '.join(items[start : start + _BATCH])} }}"


def _drop_names(old: Table, new: Table) -> Iterator[str]:
    chains = [name for name in old.chains if name not in new.chains]
    # Stale chains may refer to one another, so all are emptied before the first is deleted.
    yield from (f"flush chain {new.ref} {name}" for name in chains)
    yield from (f"delete chain {new.ref} {name}" for name in chains)
    for name, container in old.containers.items():
        if name not in new.containers:
            yield f"delete {container.kind} {new.ref} {name}"


def stale_flows(old: Fragment, new: Fragment) -> list[tuple[str, str, int]]:
    """Return UDP flows to forget, as (virtual address, endpoint, port), when one service's plan changes.

    UDP has no end that conntrack could see: flows stick to an endpoint that is gone, and flows seen before
    there was any endpoint (empty endpoint in the result) would go on untranslated.
    """
    stale = []
    for (address, port), before in old.udp_flows.items():
        after = new.udp_flows.get((address, port), frozenset())
        stale += [(address, endpoint, port) for endpoint in sorted(before - after)]
    for (address, port), after in new.udp_flows.items():
        if after and not old.udp_flows.get((address, port)):
            stale.append((address, "", port))
    return stale
