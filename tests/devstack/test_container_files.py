"""docker-compose.yml and Dockerfile, as far as they can be judged without Docker."""

import re

import pytest
import yaml

from slotbase.devstack.postgres import ROLES_SQL
from slotbase.devstack.stack import QUEUES
from slotbase.devstack.state import CHECKOUT

TEXT = (CHECKOUT / "docker-compose.yml").read_text()
SERVICES = yaml.safe_load(TEXT)["services"]
PRODUCT = ["migrate", "web", "worker", "beat"]


@pytest.mark.parametrize("name", PRODUCT)
def test_only_the_migration_is_the_owner_of_the_tables(name):
    role = "slotbase_owner" if name == "migrate" else "slotbase_app"
    assert f"//{role}:" in SERVICES[name]["environment"]["DATABASE_URL"]


@pytest.mark.parametrize("name", ["web", "worker", "beat"])
def test_the_product_waits_for_the_migration(name):
    condition = SERVICES[name]["depends_on"]["migrate"]["condition"]
    assert condition == "service_completed_successfully"


def test_the_roles_are_those_of_the_embedded_server():
    source = f"./{ROLES_SQL.relative_to(CHECKOUT)}"
    mounted = f"{source}:/docker-entrypoint-initdb.d/roles.sql:ro"
    assert mounted in SERVICES["postgres"]["volumes"]


def test_the_worker_serves_the_same_queues():
    assert f"--queues {QUEUES}" in SERVICES["worker"]["command"]


def test_no_secret_has_a_usual_value():
    for variable in re.findall(r"\$\{(\w*(?:PASSWORD|SECRET)\w*)(.)", TEXT):
        assert variable[1] == ":", variable
    assert not re.search(r"(PASSWORD|SECRET_KEY):-[^}]", TEXT)


def test_the_image_copies_what_the_product_is_made_of():
    dockerfile = (CHECKOUT / "Dockerfile").read_text()
    for folder in ("slotbase", "bookings", "payments", "notifications", "recovery"):
        assert f"COPY {folder} {folder}\n" in dockerfile
