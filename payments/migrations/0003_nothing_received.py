"""A payment that brought nothing is a payment that differs, not an error."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [
        ("payments", "0002_reconciliation"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="cardpayment",
            name="payments_cardpayment_succeeded",
        ),
        migrations.AddConstraint(
            model_name="cardpayment",
            constraint=models.CheckConstraint(
                condition=Q(
                    Q(
                        ("status", "SUCCEEDED"),
                        ("succeeded_at__isnull", False),
                        Q(("received_currency", ""), _negated=True),
                    ),
                    Q(
                        Q(("status", "SUCCEEDED"), _negated=True),
                        ("received_minor", 0),
                        ("succeeded_at__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="payments_cardpayment_succeeded",
            ),
        ),
    ]
