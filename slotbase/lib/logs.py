"""Logs: one JSON object a line on standard error, with the request id, no bodies.

Of requests that failed there is the path. What is a key, a secret or personal is
blanked in every line, whoever wrote it (slotbase/lib/redaction.py).
"""

import logging
import sys
from typing import Any

import structlog

from slotbase.lib.redaction import redact


def _is_news(line: logging.LogRecord) -> bool:
    return "Sending due task" not in str(line.msg)


def configure(options: dict[str, Any]) -> None:
    """Set up standard logging and structlog alike; called by Django with `LOGGING`."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processor=structlog.processors.JSONRenderer(), foreign_pre_chain=shared
        )
    )
    logging.basicConfig(handlers=[handler], level=options["level"], force=True)
    # Sweeps run every second: their lines would hide all others.
    logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
    # Texts of errors may hold personal data: slotbase/worker.py says what failed.
    logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL)
    logging.getLogger("celery.beat").addFilter(_is_news)
    # Django reports every 4xx as a warning; clients are told, operators need not be.
    logging.getLogger("django.request").setLevel(logging.ERROR)
