"""All settings of SlotBase, read from the environment; `.env.example` lists them.

There are no branches for development and production: an installation differs by its
variables only. With DEBUG off, `slotbase.lib.checks` refuses to start on unsafe values.
"""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from redis.backoff import NoBackoff
from redis.retry import Retry


class Env(environ.Env):  # type: ignore[misc]
    """django-environ, which also says which variable cannot be read."""

    def get_value(self, var: str, *args: Any, **kwargs: Any) -> Any:
        """The value, converted.

        Raises:
            ImproperlyConfigured: the text is not of the kind that is wanted.
        """
        try:
            return super().get_value(var, *args, **kwargs)
        except ValueError:
            # Without the error, which may quote a password.
            raise ImproperlyConfigured(f"{var}: it cannot be read.") from None


env = Env()
seconds = partial(env.list, cast=int)
BASE_DIR = Path(__file__).resolve().parent.parent

# --- What kind of installation this is ----------------------------------------
DEBUG = env.bool("DEBUG", default=False)
# A demonstration on this computer: demo data, the sandbox instead of real providers and
# plain HTTP. Refused unless every allowed host is a loopback name.
DEMO = env.bool("DEMO", default=False)
# Where to fail on purpose, in a demonstration alone; see slotbase/lib/failpoints.py.
FAILPOINTS = env.str("FAILPOINTS", default="")
SECRET_KEY = env.str("SECRET_KEY", default="refused-unless-debug")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
HTTPS_ONLY = env.bool("HTTPS_ONLY", default=not DEMO)
# Whoever has it is told what /health measured. Empty: nobody is.
OPS_TOKEN = env.str("OPS_TOKEN", default="")
# Tells installations apart that share an account at a provider.
SLOTBASE_ENV = env.str("SLOTBASE_ENV", default="main")

# --- The product --------------------------------------------------------------
HOLD_TTL_SECONDS = env.int("HOLD_TTL_SECONDS", default=300)
HOLD_EXPIRING_SECONDS = env.int("HOLD_EXPIRING_SECONDS", default=75)
MAX_ACTIVE_HOLDS = env.int("MAX_ACTIVE_HOLDS", default=3)
# Whoever let so many run out, or gave them back late, waits until that is long ago.
MAX_UNUSED_HOLDS = env.int("MAX_UNUSED_HOLDS", default=3)
UNUSED_HOLDS_SECONDS = env.int("UNUSED_HOLDS_SECONDS", default=900)
WAITLIST_OFFER_SECONDS = env.int("WAITLIST_OFFER_SECONDS", default=900)
OFFER_EXPIRING_SECONDS = env.int("OFFER_EXPIRING_SECONDS", default=300)
MAX_WAITLIST_ENTRIES = env.int("MAX_WAITLIST_ENTRIES", default=5)
MAX_AVAILABILITY_DAYS = env.int("MAX_AVAILABILITY_DAYS", default=31)
PAYMENT_GRACE_SECONDS = env.int("PAYMENT_GRACE_SECONDS", default=180)
LATE_RECLAIM_SECONDS = env.int("LATE_RECLAIM_SECONDS", default=900)
REMINDER_HOURS_BEFORE = env.int("REMINDER_HOURS_BEFORE", default=24)
# A refund of more than this, in whole units of its currency, is urgent if it fails.
REFUND_ALERT_MAJOR = env.int("REFUND_ALERT_MAJOR", default=100)
# Staff give back more than this, in whole units of a currency, in twos alone.
FOUR_EYES_MAJOR = env.int("FOUR_EYES_MAJOR", default=100)
# So long a proposal waits for the second person.
APPROVAL_SECONDS = env.int("APPROVAL_SECONDS", default=24 * 3600)
# More than this at once, in whole units, is taken in by a manager.
OFFLINE_PAYMENT_MAX_MAJOR = env.int("OFFLINE_PAYMENT_MAX_MAJOR", default=500)
STRIPE_RECONCILE_SECONDS = env.int("STRIPE_RECONCILE_SECONDS", default=3600)
STRIPE_COMPARE_DAYS = env.int("STRIPE_COMPARE_DAYS", default=35)
RECONCILE_AFTER_SECONDS = env.int("RECONCILE_AFTER_SECONDS", default=300)
RECONCILE_AFTER = timedelta(seconds=RECONCILE_AFTER_SECONDS)
SWEEP_INTERVAL_SECONDS = env.float("SWEEP_INTERVAL_SECONDS", default=1.0)
SWEEP_BATCH_SIZE = env.int("SWEEP_BATCH_SIZE", default=1000)
IDEMPOTENCY_RETENTION_HOURS = env.int("IDEMPOTENCY_RETENTION_HOURS", default=24)
OUTBOX_RETENTION_DAYS = env.int("OUTBOX_RETENTION_DAYS", default=30)
INBOX_RETENTION_DAYS = env.int("INBOX_RETENTION_DAYS", default=30)
WORKFLOW_RETENTION_DAYS = env.int("WORKFLOW_RETENTION_DAYS", default=90)
DEAD_LETTER_RETENTION_DAYS = env.int("DEAD_LETTER_RETENTION_DAYS", default=180)
HOLD_RETENTION_DAYS = env.int("HOLD_RETENTION_DAYS", default=90)
NOTIFICATION_RETENTION_DAYS = env.int("NOTIFICATION_RETENTION_DAYS", default=90)
# A push that did not reach its device so soon is not sent any more.
PUSH_TTL_SECONDS = env.int("PUSH_TTL_SECONDS", default=3600)
MAX_DEVICES = env.int("MAX_DEVICES", default=20)
ALERT_RETENTION_DAYS = env.int("ALERT_RETENTION_DAYS", default=90)
MAX_BODY_BYTES = env.int("MAX_BODY_BYTES", default=256 * 1024)

# --- Waits before the second and later attempts, in seconds --------------------
# Less than an hour in all, then a case.
INBOX_RETRY_SECONDS = seconds(
    "INBOX_RETRY_SECONDS", default=[5, 15, 60, 180, 420, 720, 1200]
)
OUTBOX_RETRY_SECONDS = seconds(
    "OUTBOX_RETRY_SECONDS", default=[5, 15, 60, 180, 420, 720, 1200]
)
# Minutes first, since the customer waits; then every hour for two days, then a case.
CARD_PAYMENT_RETRY_SECONDS = seconds(
    "CARD_PAYMENT_RETRY_SECONDS",
    default=[2, 5, 10, 30, 60, 120, 300, 600, 1800, *[3600] * 48],
)
# When a refund is attempted, counted from the first attempt: up to 12 h, then a case.
REFUND_RETRY_SECONDS = seconds(
    "REFUND_RETRY_SECONDS", default=[0, 60, 300, 900, 3600, 14400, 43200]
)
# For each step; then it is undone, or a case is opened and it goes on once an hour.
WORKFLOW_RETRY_SECONDS = seconds(
    "WORKFLOW_RETRY_SECONDS", default=[5, 15, 60, 180, 420, 720, 1200]
)
# Tasks that failed and have no row; less than a day in all, then a case.
DEAD_LETTER_RETRY_SECONDS = seconds(
    "DEAD_LETTER_RETRY_SECONDS", default=[900, 1800, 3600, 14400, 43200]
)
# Two days in all, then the event is dropped.
ANALYTICS_RETRY_SECONDS = seconds(
    "ANALYTICS_RETRY_SECONDS",
    default=[5, 30, 120, 600, 1800, 3600, 10800, 21600, 43200, 86400],
)
# Less than a day in all: so long Resend knows a mail that it has taken.
NOTIFICATION_RETRY_SECONDS = seconds(
    "NOTIFICATION_RETRY_SECONDS", default=[60, 120, 240, 480, 1800, 7200, 21600, 43200]
)
# Within PUSH_TTL_SECONDS: later nobody is helped by a push.
PUSH_RETRY_SECONDS = seconds("PUSH_RETRY_SECONDS", default=[10, 30, 120, 600, 1800])
# Notes of coaches: once more soon, twice within hours; then they stay as they are.
AI_RETRY_SECONDS = seconds("AI_RETRY_SECONDS", default=[5, 300, 3600, 21600])
# The last one again and again, for 20 hours.
ALERT_RETRY_SECONDS = seconds("ALERT_RETRY_SECONDS", default=[5, 15, 30, 60, 120, 300])
# How long a refund may still come back; a person is not erased before.
ERASE_AFTER_REFUND_DAYS = env.int("ERASE_AFTER_REFUND_DAYS", default=60)
ERASURE_RETRY_SECONDS = seconds("ERASURE_RETRY_SECONDS", default=[5, 30, 120, 600])
PROFILE_RETRY_SECONDS = seconds(
    "PROFILE_RETRY_SECONDS", default=[5, 30, 120, 600, 1800, 3600, 10800, 21600, 43200]
)

# --- Requests per minute; see docs/reference/settings.md ----------------------
THROTTLE_USER_PER_MINUTE = env.int("THROTTLE_USER_PER_MINUTE", default=300)
THROTTLE_ADDRESS_PER_MINUTE = env.int("THROTTLE_ADDRESS_PER_MINUTE", default=1200)
THROTTLE_EXPORTS_PER_MINUTE = env.int("THROTTLE_EXPORTS_PER_MINUTE", default=5)
THROTTLE_HOLDS_PER_MINUTE = env.int("THROTTLE_HOLDS_PER_MINUTE", default=30)
# A venue's guests share an address, and providers send all from few.
THROTTLE_SHARED_ADDRESS_PER_MINUTE = env.int(
    "THROTTLE_SHARED_ADDRESS_PER_MINUTE", default=6000
)
THROTTLE_WEBHOOKS_PER_MINUTE = env.int("THROTTLE_WEBHOOKS_PER_MINUTE", default=12_000)
THROTTLE_GLOBAL_PER_MINUTE = env.int("THROTTLE_GLOBAL_PER_MINUTE", default=60_000)
# How many proxies in front of the web process append to X-Forwarded-For.
NUM_PROXIES = env.int("NUM_PROXIES", default=0)

# --- Sign-in ------------------------------------------------------------------
CLERK_API_URL = env.str("CLERK_API_URL", default="https://api.clerk.com")
CLERK_SECRET_KEY = env.str("CLERK_SECRET_KEY", default="")
CLERK_JWKS_URL = env.str("CLERK_JWKS_URL", default="")
CLERK_ISSUER = env.str("CLERK_ISSUER", default="")
CLERK_AUTHORIZED_PARTIES = env.list("CLERK_AUTHORIZED_PARTIES", default=[])
CLERK_KEYS_REFRESH_SECONDS = env.int("CLERK_KEYS_REFRESH_SECONDS", default=300)
CLERK_KEYS_MAX_AGE_SECONDS = env.int("CLERK_KEYS_MAX_AGE_SECONDS", default=86400)
CLERK_MAX_TOKEN_SECONDS = env.int("CLERK_MAX_TOKEN_SECONDS", default=3600)
# PEM, the current key and the next one; line breaks may be written as \n.
CLERK_JWT_KEYS = env.list("CLERK_JWT_KEYS", default=[])
# For how long after they expire tokens still serve while Clerk is away (ADR 0038).
CLERK_GRACE_SECONDS = env.int("CLERK_GRACE_SECONDS", default=0)
# Sessions of staff: since they began, and since a person did something.
STAFF_SESSION_SECONDS = env.int("STAFF_SESSION_SECONDS", default=43200)
STAFF_IDLE_SECONDS = env.int("STAFF_IDLE_SECONDS", default=1800)
# How long a code is good for money, rights and exports.
STEP_UP_SECONDS = env.int("STEP_UP_SECONDS", default=600)

# --- Sign-in of staff: wrong guesses, and for how long the next are refused -----
SIGN_IN_GUESSES = env.int("SIGN_IN_GUESSES", default=5)
SIGN_IN_GUESSES_PER_ADDRESS = env.int("SIGN_IN_GUESSES_PER_ADDRESS", default=50)
SIGN_IN_GUESSES_PER_LOGIN = env.int("SIGN_IN_GUESSES_PER_LOGIN", default=100)
SIGN_IN_CODES_PER_LOGIN = env.int("SIGN_IN_CODES_PER_LOGIN", default=25)
SIGN_IN_BLOCK_SECONDS = env.int("SIGN_IN_BLOCK_SECONDS", default=900)

# --- Providers ----------------------------------------------------------------
# Of one call, until the last byte of its answer.
PROVIDER_CONNECT_SECONDS = env.float("PROVIDER_CONNECT_SECONDS", default=3.0)
PROVIDER_TIMEOUT_SECONDS = env.float("PROVIDER_TIMEOUT_SECONDS", default=6.0)
PROVIDER_WORKER_TIMEOUT_SECONDS = env.float(
    "PROVIDER_WORKER_TIMEOUT_SECONDS", default=10.0
)
# Half of the threads of a web process may wait for providers.
WEB_THREADS = env.int("WEB_THREADS", default=8)
# Through which all of them are called; HTTPS_PROXY and its like are not read.
PROVIDER_PROXY_URL = env.str("PROVIDER_PROXY_URL", default="")
# Hosts in a private network that may be called; no others there are.
EGRESS_ALLOWED_HOSTS = env.list("EGRESS_ALLOWED_HOSTS", default=[])
ANALYTICS_URL = env.str("ANALYTICS_URL", default="")
# Who is told of trouble; with neither it stands in the back office alone.
ALERT_WEBHOOK_URL = env.str("ALERT_WEBHOOK_URL", default="")
ALERT_EMAIL_TO = env.list("ALERT_EMAIL_TO", default=[])
# For links in alerts, such as https://booking.example.com.
BACK_OFFICE_URL = env.str("BACK_OFFICE_URL", default="")
# For links in mails: where customers reach this product.
PUBLIC_URL = env.str("PUBLIC_URL", default="")
STRIPE_API_BASE = env.str("STRIPE_API_BASE", default="https://api.stripe.com")
STRIPE_API_VERSION = env.str("STRIPE_API_VERSION", default="2026-10-28.endive")
RESEND_API_URL = env.str("RESEND_API_URL", default="https://api.resend.com")
RESEND_REQUESTS_PER_SECOND = env.int("RESEND_REQUESTS_PER_SECOND", default=2)
RESEND_BURST = env.int("RESEND_BURST", default=1)
RESEND_API_KEY = env.str("RESEND_API_KEY", default="")
# Who mails are from, such as `SlotBase <noreply@example.com>`; a domain of yours.
EMAIL_FROM = env.str("EMAIL_FROM", default="")
FCM_API_URL = env.str("FCM_API_URL", default="https://fcm.googleapis.com")
# The JSON of a service account of Firebase, as its console gives it. Empty: no pushes.
FCM_CREDENTIALS = env.str("FCM_CREDENTIALS", default="")
# Coaches' notes are made readable; without a key, or switched off, they are not.
AI_ENABLED = env.bool("AI_ENABLED", default=True)
OPENAI_BASE_URL = env.str("OPENAI_BASE_URL", default="https://api.openai.com/v1")
OPENAI_API_KEY = env.str("OPENAI_API_KEY", default="")
OPENAI_MODEL = env.str("OPENAI_MODEL", default="")
AI_DAILY_TOKENS = env.int("AI_DAILY_TOKENS", default=500_000)
STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", default="")
# Webhooks of the other mode are stored and ignored.
STRIPE_LIVEMODE = STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_"))
# The current secret of the endpoint and, while it is being changed, the previous one.
STRIPE_WEBHOOK_SECRETS = env.list("STRIPE_WEBHOOK_SECRETS", default=[])
RESEND_WEBHOOK_SECRETS = env.list("RESEND_WEBHOOK_SECRETS", default=[])
CLERK_WEBHOOK_SECRETS = env.list("CLERK_WEBHOOK_SECRETS", default=[])

# --- Applications -------------------------------------------------------------
INSTALLED_APPS = [
    "slotbase.lib",
    "slotbase.accounts",
    "recovery",
    "notifications",
    "payments",
    "bookings",
    "slotbase.doctor",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "slotbase.accounts.apps.BackOfficeConfig",
    "django.contrib.postgres",
    "django_celery_beat",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
if DEMO:
    INSTALLED_APPS.append("slotbase.devstack")

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}Validator"}
    for name in ("UserAttributeSimilarity", "MinimumLength", "CommonPassword")
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "slotbase.urls"
WSGI_APPLICATION = "slotbase.wsgi.application"

MIDDLEWARE = [
    "slotbase.lib.middleware.request_id",
    "slotbase.lib.middleware.security_headers",
    "slotbase.lib.middleware.known_methods",
    "slotbase.lib.middleware.a_free_thread",
    "slotbase.lib.middleware.storable_filters",
    "slotbase.lib.middleware.body_limit",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "slotbase.lib.limits.limit_requests",
    "slotbase.lib.back_office_only.Sessions",
    "slotbase.lib.middleware.AppendSlash",
    "django.middleware.csrf.CsrfViewMiddleware",
    "slotbase.lib.back_office_only.SignedInStaff",
    "slotbase.accounts.sessions.limits",
    "slotbase.lib.limits.limit_staff",
    "slotbase.lib.back_office_only.Messages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "recovery.banner.open_alerts",
                "recovery.banner.waiting_approvals",
            ]
        },
    }
]

# --- PostgreSQL: the truth ----------------------------------------------------
DATABASES = {
    "default": {
        **env.db_url("DATABASE_URL", default="postgres://127.0.0.1:5432/slotbase"),
        # One connection per thread for its life: opening one costs more than a hold. A
        # request looks whether it still works first, since PostgreSQL may have been
        # restarted long before; one that breaks meanwhile costs its request a 503.
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        # READ COMMITTED is PostgreSQL's default; timeouts belong to the database role.
        "OPTIONS": {
            "connect_timeout": 3,
            "keepalives_idle": 30,
            # Statements that come often are planned once per connection: planning
            # the rules of a resource takes longer than reading them.
            "server_side_binding": True,
            "prepare_threshold": 5,
        },
    }
}

# --- Redis: broker, cache and throttle; disposable ----------------------------
REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
# A message carries a row id and is only a wake-up; rows decide (decisions 4.2).
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_CREATE_MISSING_QUEUES = True
# What is urgent does not stand in line behind what is not.
CELERY_TASK_ROUTES = {
    "bookings.enhance_feedback": {"queue": "ai"},
    "bookings.*": {"queue": "bookings"},
    "notifications.send_push": {"queue": "push"},
    "notifications.tidy_devices": {"queue": "push"},
    "notifications.*": {"queue": "email"},
    "payments.*": {"queue": "money"},
    "recovery.process_inbox": {"queue": "inbox"},
}
# Nobody reads results; Celery would add a daily clean-up of them to the schedule.
CELERY_TASK_IGNORE_RESULT = True
CELERY_RESULT_EXPIRES = None
# Whoever can write to the broker must not be able to run code of theirs.
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
# Acknowledged after the work: a killed worker's message is delivered again. A task that
# kills its worker each time ends after three deaths, which its row counts.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
# Also sees to messages that no task can take.
CELERY_WORKER_CONSUMER = "slotbase.worker:Consumer"
# What failed or took too long is tried again by its row, when its row says so.
CELERY_TASK_ACKS_ON_FAILURE = True
CELERY_TASK_ACKS_ON_TIMEOUT = True
# Less than a lease, so that nobody takes over what is still being done. Some SDKs
# swallow the soft one.
CELERY_TASK_TIME_LIMIT = 120
CELERY_TASK_SOFT_TIME_LIMIT = 100
# A worker takes what it can do at once and leaves the rest to others.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True
# A task goes on when the broker goes: cancelled, it would leave its leases to run out.
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
# A worker told to stop by SIGQUIT lets its tasks finish for so long.
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 25
# Logs are ours: slotbase/lib/logs.py.
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# A worker waits for its broker for ever; Celery's gives up after 100 tries.
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# Shared by whoever sends and whoever receives.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Longer than a lease, else what still runs is delivered a second time.
    "visibility_timeout": 900,
    # kombu waits for ever on a frozen broker by default. A worker asks for a second at
    # a time (BRPOP), so this does not cut its waiting short.
    "socket_timeout": 10,
    "socket_connect_timeout": 2,
    # A connection that died without a word is noticed.
    "socket_keepalive": True,
    "health_check_interval": 25,
    # Look for messages of dead workers every 10 s, not every 100 s.
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
}
# Beat need not insist: its next sweep is a second away.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1}
CELERY_BEAT_SCHEDULER = "slotbase.schedule:Scheduler"
# A changed entry counts within a second.
CELERY_BEAT_MAX_LOOP_INTERVAL = 1
CELERY_TIMEZONE = "UTC"

CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": env.str("CACHE_URL", default="redis://127.0.0.1:6379/1"),
        "OPTIONS": {
            # redis-py's own defaults wait for a minute on a frozen server.
            "SOCKET_CONNECT_TIMEOUT": 0.3,
            "SOCKET_TIMEOUT": 0.3,
            "IGNORE_EXCEPTIONS": True,
            "CONNECTION_POOL_KWARGS": {"retry": Retry(NoBackoff(), 0)},
        },
    }
}

# --- Time, language, files ----------------------------------------------------
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = True
LANGUAGE_CODE = "en"
STATIC_URL = "/static/"
# Without a collectstatic (demo, tests) whitenoise serves the files where they lie.
WHITENOISE_USE_FINDERS = env.bool("STATIC_FROM_SOURCE", default=DEMO or DEBUG)
STATIC_ROOT = (
    None
    if WHITENOISE_USE_FINDERS
    else env.str("STATIC_ROOT", default=str(BASE_DIR / "static"))
)

# --- Browser security ---------------------------------------------------------
SECURE_SSL_REDIRECT = HTTPS_ONLY
SECURE_REDIRECT_EXEMPT = [r"^health"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS_ONLY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS_ONLY
SILENCED_SYSTEM_CHECKS = ["security.W021"]  # whole domains are not ours to preload
# Only behind a proxy that always sets this header.
if env.bool("TRUST_X_FORWARDED_PROTO", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS_ONLY
# With this prefix a browser takes them from this host alone, over HTTPS.
if HTTPS_ONLY:
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = STAFF_SESSION_SECONDS
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES

# --- API ----------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "slotbase.accounts.api.authentication.ClerkAuthentication"
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": [
        "slotbase.lib.api.throttles.UserThrottle",
        "slotbase.lib.api.throttles.AddressThrottle",
    ],
    "DEFAULT_PARSER_CLASSES": ["slotbase.lib.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "slotbase.lib.api.pagination.NewestFirst",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "slotbase.lib.api.problems.problem_response",
    "UNAUTHENTICATED_USER": None,
    # The Accept header alone decides; DRF answers 404 to ?format=xml.
    "URL_FORMAT_OVERRIDE": None,
    "NUM_PROXIES": NUM_PROXIES,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "SlotBase",
    "DESCRIPTION": "Hold a slot, confirm it, cancel it. Sign in with the session token "
    "that Clerk gave to the customer's app. Times are RFC 3339, in answers UTC; money "
    "is in minor units. What goes wrong is told as problem+json (RFC 9457): "
    "[all codes](/api/docs/errors/).",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "TAGS": [
        {"name": "venues", "description": "Where."},
        {
            "name": "resources",
            "description": "What can be booked, and when it is free.",
        },
        {"name": "holds", "description": "Keep a slot for some minutes; confirm it."},
        {"name": "bookings", "description": "What the customer has."},
        {"name": "me", "description": "Who the customer is, and is told of."},
        {"name": "devices", "description": "Where messages are pushed to."},
    ],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    # A PATCH takes just the fields that its shape requires, as a POST does.
    "COMPONENT_SPLIT_PATCH": False,
    "ENUM_NAME_OVERRIDES": {
        "TopicEnum": "notifications.kinds.Topic.choices",
        "OptionalTopicEnum": "notifications.api.serializers.OPTIONAL_TOPICS",
    }
    | {
        name: f"{app}.states.{name}.choices"
        for app, names in {
            "bookings": ("HoldStatus", "BookingStatus", "PaymentMode", "ResourceKind"),
            "payments": (
                *("CardPaymentStatus", "PaymentStatus"),
                *("RefundProgress", "RefundStatus"),
            ),
        }.items()
        for name in names
    },
}

LOGGING_CONFIG = "slotbase.lib.logs.configure"
LOGGING = {"level": env.str("LOG_LEVEL", default="INFO")}
