"""Staff may record, refund and pay out."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("payments", "0003_nothing_received"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="payable",
            options={
                "permissions": (
                    ("record_payment", "Can record money that was paid by hand"),
                    ("refund_payment", "Can give money back"),
                    (
                        "pay_out_refund",
                        "Can pay out by hand what is owed to a customer",
                    ),
                )
            },
        ),
    ]
