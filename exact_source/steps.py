"""Writes that belong together, such as a document, its attachment and a link to it: they go on where they stopped.

All steps are recorded before the first is sent. When Exact refuses one, the rows that earlier ones made are removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from exact_source.entries import Entry
from exact_source.errors import ConfigurationError, ExactError, Rejected
from exact_source.outbox import Outbox, Written
from exact_source.writes import Write, endpoint_of


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps by name, in their order. A later one names the row of an earlier one as ``Made(name)``.

    ``key`` is what makes the whole happen once; the steps get keys of their own from it.
    """

    key: str
    steps: Mapping[str, Write]

    def writes(self) -> list[Write]:
        return [replace(write, idempotency_key=f"{self.key}/{name}") for name, write in self.steps.items()]


def carry_out(outbox: Outbox, plan: Plan, *, is_undone: bool = True) -> dict[str, Written]:
    """What became of each step. A plan that stopped goes on; ``is_undone``: a refusal takes back what was made.

    Raises as ``Outbox.submit``; after Undecided or a passing fault the plan waits for its next turn.
    """
    writes = plan.writes()
    outbox.entries.record(writes, outbox.client.service_time(), plan.key)
    made: dict[str, Written] = {}
    for name, write in zip(plan.steps, writes, strict=True):
        try:
            made[name] = outbox.submit(write)
        except Rejected as error:
            raise _taken_back(outbox, outbox.entries.steps(plan.key), error) if is_undone else error from None
    return made


def resume(outbox: Outbox, key: str, *, is_absent: bool = False) -> Sequence[Written]:
    """Goes on with one write, or with all the steps of a plan, as they were recorded."""
    steps = outbox.entries.steps(key)
    if not steps:
        return [outbox.resume(key, is_absent=is_absent)]
    try:
        return [outbox.resume(step.key, is_absent=is_absent) for step in steps]
    except Rejected as error:
        raise _taken_back(outbox, steps, error) from None


def _taken_back(outbox: Outbox, steps: Sequence[Entry], error: Rejected) -> Rejected:
    """Removes the rows of the steps that are done, the newest first; the refusal tells what could not be removed."""
    left = [step.path for step in reversed(steps) if not _is_taken_back(outbox, outbox.entries.get(step.key))]
    if not left:
        return error
    told = f"{error}; what was made before it is still in Exact: {', '.join(left)}"
    return Rejected(told, told=error.told, fields=error.fields)


def _is_taken_back(outbox: Outbox, step: Entry) -> bool:
    if step.state != "done" or step.method != "POST":
        return step.state != "done"
    endpoint = endpoint_of(step.path)
    if step.result_id is None or endpoint is None or "DELETE" not in endpoint.verbs:
        return False
    undo = f"{step.key}/undo {step.sends}"
    try:
        outbox.submit(Write(step.path, "DELETE", step.division, key=step.result_id, idempotency_key=undo))
    except (ExactError, ConfigurationError):
        return False
    outbox.undone(step.key)
    return True
