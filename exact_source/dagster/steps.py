"""One execution of the op of a connection: runs, tells, checks, and ends as Dagster is to go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg

from exact_source.dagster.checks import ADDS_UP, REJECTED, adds_up, kept_apart, no_rejected_rows
from exact_source.dagster.plans import HOUR, Plan
from exact_source.dagster.wanted import Figures, Options, Pair, Wanted
from exact_source.errors import ExactError, Paused
from exact_source.events import Event, StageReached
from exact_source.jobs import Outcome
from exact_source.limits import NOTHING_KNOWN
from exact_source.orders import Report
from exact_source.runs import run

RESET = 2.0  # a clock is never set to the second
PASSING = frozenset({4, 7})  # exit codes of what may pass by itself; a pause (5) has an end of its own
NO_RETRIES = {"dagster/max_retries": "0"}  # of the whole run; Failure.allow_retries only speaks of the step


@dataclass(frozen=True, slots=True)
class Step:
    """One execution of the op of a connection."""

    plan: Plan
    context: dg.AssetExecutionContext
    wanted: Wanted

    def read(self, options: Options) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        """Runs, tells what was read and how it checks out, and then ends as the errors ask for."""
        around = replace(self.plan.around, listener=self._note)
        is_compared = any(key.name == ADDS_UP for key in self.context.selected_asset_check_keys)
        try:
            report = run(self.wanted.order(self.plan, options, reconcile=is_compared), around)
        except ExactError as error:
            self._end([error])
            return
        for warning in report.warnings:
            self.context.log.warning(warning)
        troubles = [one.error for one in report.outcomes if one.error]
        if report.failure is None:
            yield from self._materialised(report)
            yield from self._checked(report)
        else:
            troubles.append(report.failure)
        self._end(troubles)

    def _note(self, event: Event) -> None:
        self.plan.around.listener(event)
        if isinstance(event, StageReached):
            self.context.log.info(f"stage {event.stage}")

    def _materialised(self, report: Report) -> Iterator[dg.MaterializeResult]:
        """An asset is materialised for the partitions that were read to the end; of the others an observation tells."""
        known = dict(self.wanted.done)
        for one in report.outcomes:
            figures = _figures(one, report)
            if one.status == "succeeded":
                known[one.entity, one.division] = figures
            elif (one.entity, one.division) in self.wanted.missing:
                self._log(dg.AssetObservation, (one.entity, one.division), figures)
        for name in sorted({name for name, _ in self.wanted.missing}):
            pairs = [(name, code) for code in self.wanted.divisions]
            read = [pair for pair in pairs if pair in known]
            if len(read) == len(pairs):
                for pair in pairs:
                    self.context.add_asset_metadata(known[pair], self.plan.key(name), _partition(pair))
                yield dg.MaterializeResult(self.plan.key(name))
                continue
            for pair in read:
                if pair not in self.wanted.done:
                    self._log(dg.AssetMaterialization, pair, known[pair])

    def _log(self, kind: Any, pair: Pair, figures: Figures) -> None:
        self.context.log_event(kind(self.plan.key(pair[0]), partition=_partition(pair), metadata=figures))

    def _checked(self, report: Report) -> Iterator[dg.AssetCheckResult]:
        """Checks of the divisions of this run, for the assets of which something was read."""
        read = {one.entity for one in report.outcomes if one.status == "succeeded"}
        selected = [key for key in self.context.selected_asset_check_keys if key.asset_key.path[-1] in read]
        is_asked = any(key.name == REJECTED for key in selected)
        kept = kept_apart(self.plan.target, self.wanted.divisions) if is_asked else []
        for key in selected:
            if key.name == REJECTED:
                yield no_rejected_rows(key, kept)
            elif report.reconciliation is not None:
                yield adds_up(key, report.reconciliation)

    def _end(self, errors: Sequence[ExactError]) -> None:
        """What may pass by itself is tried again, a quota that comes back soon is waited for; the rest needs a person.

        A pause that is too long for that is no failure: its assets stay as they are until the next run.
        """
        for error in errors:
            self.context.log.error(str(error))
        lasting = [error for error in errors if error.exit_code not in PASSING and not isinstance(error, Paused)]
        passing = [error for error in errors if error.exit_code in PASSING]
        pauses = [self._seconds(error) for error in errors if isinstance(error, Paused)]
        short = [seconds for seconds in pauses if seconds <= self.plan.longest_pause]
        attempts = self.plan.retries.max_retries
        if passing:
            raise _failure(passing + lasting, allow_retries=True)
        if short and self.context.retry_number < attempts:
            raise dg.RetryRequested(max_retries=attempts, seconds_to_wait=max(short))
        if lasting:
            self.context.instance.add_run_tags(self.context.run.run_id, NO_RETRIES)
            raise _failure(lasting, allow_retries=False)

    def _seconds(self, pause: Paused) -> float:
        """Until Exact may be asked again; an hour when nobody knows."""
        if pause.until is None:
            return HOUR
        return max((pause.until - self.plan.around.clock.now()).total_seconds(), 0.0) + RESET


def _failure(errors: Sequence[ExactError], *, allow_retries: bool) -> dg.Failure:
    told = {f"error {at}": str(error) for at, error in enumerate(errors, 1)}
    return dg.Failure(str(errors[0]), metadata={"exit_code": errors[0].exit_code, **told}, allow_retries=allow_retries)


def _partition(pair: Pair) -> str | None:
    return None if pair[1] is None else str(pair[1])


def _figures(outcome: Outcome, report: Report) -> Figures:
    """The metadata of one materialisation."""
    place = (outcome.entity, outcome.division)
    quota = report.quotas.get(outcome.division or 0) or next(iter(report.quotas.values()), NOTHING_KNOWN)
    told = {
        "status": outcome.status,
        "error": str(outcome.error) if outcome.error else None,
        "rows": outcome.rows,
        "rejected": outcome.rejected,
        "deleted": report.deleted.get(place, 0),
        "calls": outcome.calls,
        "seconds": round(outcome.seconds, 3),
        "feed": outcome.feed,
        "bookmark_before": outcome.before,
        "bookmark_after": outcome.after,
        "calls_left_today": quota.daily.remaining if quota.daily else None,
        "calls_a_day": quota.daily.limit if quota.daily else None,
        "calls_left_this_minute": quota.minutely.remaining if quota.minutely else None,
        "exact_run": report.run_id,
    }
    return {name: value for name, value in told.items() if value is not None}
