"""What a worker does beside its tasks: no failure of one is lost.

Most work has a row that counts its failures and deaths. What else fails, kills its
worker, or is a message that no task can take, becomes a dead letter, which a success of
the same work ends (`recovery/dead_letters.py`).
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from celery import Task as CeleryTask
from celery import current_app
from celery.exceptions import Ignore
from celery.signals import task_failure
from celery.utils.log import get_logger
from celery.worker import consumer
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from kombu.transport.redis import Transport

from recovery import dead_letters
from recovery.rowqueue import describe
from recovery.work import Work, work_of
from slotbase.lib.errors import Unavailable

log = structlog.get_logger(__name__)
# Its connection is gone: the message comes again.
BROKER_ERRORS = Transport.connection_errors
#: The database was away or busy. That is nobody's fault: whatever it was comes again.
DATABASE_ERRORS = (OperationalError, InterfaceError, Unavailable)


class UnknownTask(Exception):
    """No task has that name here: it is misspelt, or of another version."""


class UnfitArguments(Exception):
    """The task does not take these arguments."""


class UnreadableMessage(Exception):
    """It is no message of ours, or what it carries cannot be decoded."""


# --- Tasks --------------------------------------------------------------------


#: The work of these is that of due rows, which count deaths themselves. So one row that
#: kills its workers cannot stop the sweep of all the others.
WITH_ROWS = {
    "accounts.erase_people",
    "accounts.fetch_profiles",
    "bookings.enhance_feedback",
    "notifications.send_email",
    "notifications.send_push",
    "payments.attempt_card_payment",
    "payments.attempt_refund",
    "payments.compare_with_stripe",
    "payments.reconcile_events",
    "recovery.advance_workflows",
    "recovery.check_all_rows",
    "recovery.deliver_events",
    "recovery.deliver_notices",
    "recovery.process_inbox",
    "recovery.retry_dead_letters",
}


class Task(CeleryTask):  # type: ignore[type-arg]
    """A task of ours; after three deaths of its worker in a row it is in quarantine.

    A message that was delivered before is one whose worker died.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do it, unless it is in quarantine; a success ends what failed before."""
        if self.request.called_directly:
            return super().__call__(*args, **kwargs)
        work, came_again = work_at_hand(self, args, kwargs), _came_again(self)
        letter = dead_letters.find_open(work)
        if came_again:
            letter = dead_letters.record_death(work)
        is_refused = letter and dead_letters.is_quarantined(letter)
        if is_refused and (came_again or self.name not in WITH_ROWS):
            log.warning("task_in_quarantine", task=self.name)
            raise Ignore
        self.run(*args, **kwargs)
        if letter:
            dead_letters.record_success(letter_id=letter.pk)
        return None


def _came_again(task: Any) -> bool:
    return bool((task.request.delivery_info or {}).get("redelivered"))


def work_at_hand(task: Any, args: Any, kwargs: Any) -> Work:
    """What a task is doing, as far as it may be written down."""
    route = task.request.delivery_info or {}
    queue, message_id = route.get("routing_key"), task.request.id
    return work_of(task.name, kwargs, args, queue=queue, message_id=message_id)


def run_task(name: str, kwargs: Mapping[str, Any]) -> None:
    """Run a task in this process, at once.

    Raises:
        UnknownTask, UnfitArguments: it cannot begin.
    """
    task = current_app.tasks.get(name)
    if task is None:
        raise UnknownTask
    if not _fits(task, (), kwargs):
        raise UnfitArguments
    task.run(**kwargs)


def _fits(task: Any, args: Any, kwargs: Any) -> bool:
    try:
        inspect.signature(task.run).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


dead_letters.run_tasks_with(run_task)


@task_failure.connect
def keep_failure(
    sender: Any, exception: Exception, args: Any = (), kwargs: Any = None, **_: Any
) -> None:
    """A task failed in its process, or its process was stopped over it."""
    if isinstance(exception, DATABASE_ERRORS):
        return
    is_unfit = not _fits(sender, args or (), kwargs or {})
    work = work_at_hand(sender, args, kwargs or {})
    _keep(work, UnfitArguments() if is_unfit else exception, is_permanent=is_unfit)
    if sender.request.id is None:
        _leave_no_connection()


def _leave_no_connection() -> None:
    """A worker forks: what it has open, its children would share."""
    connection.close()


def _keep(work: Work, error: Exception, *, is_permanent: bool) -> None:
    """Without the database the log has it; what was owed has a row, or comes again."""
    log.error("task_failed", task=work.task, why=describe(error).error)
    try:
        dead_letters.record_failure(work, error, is_permanent=is_permanent)
    except (DatabaseError, Unavailable) as away:
        log.error(  # noqa: TRY400 - its text may hold personal data
            "dead_letter_not_recorded", task=work.task, error=type(away).__name__
        )


# --- Messages -----------------------------------------------------------------


class Consumer(consumer.Consumer):
    """Celery's, which ends over some messages, drops others, and logs their bodies."""

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Hand on what is written as our messages are; keep note of anything else."""
        take = super().create_task_handler(*args, **kwargs)

        def take_if_readable(message: Any) -> None:
            if _is_readable(message):
                take(message)
            else:
                self._refuse(message, UnreadableMessage())

        return take_if_readable

    def on_unknown_task(self, _body: Any, message: Any, _exc: Exception) -> None:
        """There is no such task here."""
        self._refuse(message, UnknownTask())

    def on_invalid_task(self, _body: Any, message: Any, _exc: Exception) -> None:
        """It says something of itself that is nonsense, such as when it expires."""
        self._refuse(message, UnreadableMessage())

    def _refuse(self, message: Any, error: Exception) -> None:
        _keep(_work_of_message(message), error, is_permanent=True)
        _leave_no_connection()
        message.reject_log_error(get_logger(__name__), BROKER_ERRORS)


def _is_readable(message: Any) -> bool:
    """Whether it has a task, an id, and a body as in Celery's protocol."""
    headers = message.headers
    is_named = isinstance(headers, Mapping) and {"task", "id"} <= set(headers)
    args, kwargs = _arguments_of(message)
    return is_named and isinstance(args, list) and isinstance(kwargs, dict)


def _work_of_message(message: Any) -> Work:
    headers = message.headers if isinstance(message.headers, Mapping) else {}
    args, kwargs = _arguments_of(message)
    return work_of(
        headers.get("task"),
        kwargs,
        args,
        queue=(message.delivery_info or {}).get("routing_key"),
        message_id=headers.get("id"),
    )


def _arguments_of(message: Any) -> tuple[Any, Any]:
    """Of `[args, kwargs, options]`; nothing and None if it is anything else."""
    try:
        args, kwargs, _options = message.payload
    except Exception:  # noqa: BLE001 - whatever it is, it cannot be read
        return (), None
    return args, kwargs
