# The production image: one image for web, worker, beat and migrations; see
# docker-compose.yml. It holds neither the demo nor the provider simulators:
# .dockerignore leaves them out.

# For a build that is the same next year, name it by its digest (docs/howto/deploy-with-compose.md).
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS packages
COPY requirements.lock .
RUN python -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock

FROM ${PYTHON}
RUN useradd --system --uid 10001 --no-create-home slotbase
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=slotbase.settings
COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv/slotbase
COPY manage.py ./
COPY templates templates
# The back office shows them.
COPY docs/runbooks docs/runbooks
COPY recovery recovery
COPY notifications notifications
COPY payments payments
COPY bookings bookings
COPY slotbase slotbase
# DEBUG here only spares this step the settings of a real installation.
RUN python -m compileall -q . \
 && DEBUG=true STATIC_FROM_SOURCE=false python manage.py collectstatic --no-input
USER slotbase
EXPOSE 8000
# Not ready is not dead: it is left running, and gets no requests. Django answers only to
# the names in ALLOWED_HOSTS.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python", "-c", "\
import os, urllib.request as http; \
host = os.environ['ALLOWED_HOSTS'].split(',')[0]; \
http.urlopen(http.Request('http://127.0.0.1:8000/health/ready', headers={'Host': host}), timeout=2)"]
CMD ["granian", "--interface", "wsgi", "--host", "0.0.0.0", "--port", "8000", "--no-ws", \
     "--workers", "2", "--blocking-threads", "8", "--respawn-failed-workers", \
     "--respawn-interval", "5", "--workers-kill-timeout", "30", "slotbase.wsgi:application"]
