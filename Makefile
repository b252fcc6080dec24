# Every target first makes .venv, which takes half a minute once and no time afterwards.
# `make` alone lists the targets.

PYTHON ?= python3
PY := .venv/bin/python
UV := .venv/bin/uv

.DEFAULT_GOAL := help
.PHONY: help bootstrap run up down demo test coverage check lint types contracts migrations \
        deploy size bench security messages screenshots lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

bootstrap:
	@$(PYTHON) slotbase/devstack/bootstrap.py

run: bootstrap ## start the whole product in this terminal (PORT=8000); Ctrl-C stops it
	@$(PY) -m slotbase.devstack run

up: bootstrap ## start it in the background and return when it is healthy
	@$(PY) -m slotbase.devstack up

down: bootstrap ## stop it
	@$(PY) -m slotbase.devstack down

demo: bootstrap ## walk through what the product does
	@$(PY) -m slotbase.devstack.demo

test: bootstrap ## run the tests (ARGS="-k hold" for some of them)
	@$(PY) -m slotbase.devstack.browser && $(PY) -m tests.run $(ARGS)

coverage: bootstrap ## run the tests and measure what they reach
	@$(PY) -m slotbase.devstack.browser && $(PY) -m tests.run --cov $(ARGS)

check: lint types contracts migrations deploy size coverage ## all a change must pass

lint: bootstrap ## rules and layout of the code
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: export DEBUG = true
types: bootstrap ## types
	@$(PY) -m mypy

contracts: bootstrap ## which module may import which
	@.venv/bin/lint-imports

migrations: export DEBUG = true
migrations: bootstrap ## no model differs from its migrations
	@$(PY) -W ignore manage.py makemigrations --check --dry-run

# As in production, but with names that lead nowhere.
deploy: export DEBUG = false
deploy: export DEMO = false
deploy: export SECRET_KEY = 0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ
deploy: export ALLOWED_HOSTS = slotbase.example
deploy: export CLERK_ISSUER = https://clerk.slotbase.example
deploy: export CLERK_JWKS_URL = https://clerk.slotbase.example/.well-known/jwks.json
deploy: export CLERK_AUTHORIZED_PARTIES = https://app.slotbase.example
deploy: export RESEND_API_KEY = re_leads_nowhere
deploy: export PUBLIC_URL = https://booking.slotbase.example
deploy: bootstrap ## settings of a production installation are safe
	@$(PY) manage.py check --deploy --fail-level WARNING

size: bootstrap ## functions and modules stay small
	@$(PY) tests/architecture/size_budget.py

bench: bootstrap ## measure it
	@$(PY) -m bench

security: bootstrap ## known flaws of packages, rules, and the API under fire (takes minutes)
	@$(PY) -m security $(ARGS)

messages: export DEBUG = true
messages: bootstrap ## list in each language what the templates say now, and compile it
	@$(PY) -m slotbase.devstack.messages

screenshots: bootstrap ## renew the pictures of all mails in docs/mails
	@$(PY) -m slotbase.devstack.browser && \
	 $(PY) -m pytest -q tests/browser/test_mails.py -k pictures --write-pictures

COMPILE := pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url \
           -q --custom-compile-command "make lock"
lock: export UV_SYSTEM_CERTS = 1
lock: bootstrap ## pin the newest allowed packages
	@$(UV) $(COMPILE) --upgrade -o requirements.lock
	@$(UV) $(COMPILE) --upgrade --group dev -c requirements.lock -o requirements-dev.lock

clean: ## stop everything; delete its data, .venv and what the tools left
	@if [ -x $(PY) ]; then $(PY) -m slotbase.devstack clean; fi
	@rm -rf .venv .tools static htmlcov .coverage .mypy_cache .ruff_cache .pytest_cache \
	        .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
