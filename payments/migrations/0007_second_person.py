"""Who agreed to a refund, and who may; how much somebody gave back lately."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("payments", "0006_reconcile_everything"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
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
                    ("approve_refund", "Can approve a refund of a colleague"),
                    ("void_payment", "Can void money that was recorded by mistake"),
                )
            },
        ),
        migrations.AddField(
            model_name="refund",
            name="approved_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddIndex(
            model_name="refund",
            index=models.Index(
                condition=models.Q(("requested_by__isnull", False)),
                fields=["requested_by", "created_at"],
                name="payments_refund_of_staff",
            ),
        ),
    ]
