
import django.contrib.postgres.constraints
import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
import django.core.validators
import django.db.models.deletion
import slotbase.lib.clock
import slotbase.lib.ids
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Booking',
            fields=[
                ('id', models.UUIDField(default=slotbase.lib.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('reference', models.CharField(editable=False, max_length=12, unique=True)),
                ('start_time', models.DateTimeField()),
                ('end_time', models.DateTimeField()),
                ('units', django.contrib.postgres.fields.ArrayField(base_field=models.PositiveSmallIntegerField(), size=None)),
                ('status', models.CharField(choices=[('CONFIRMED', 'Confirmed'), ('CHECKED_IN', 'Checked In'), ('COMPLETED', 'Completed'), ('NO_SHOW', 'No Show'), ('CANCELLING', 'Cancelling'), ('CANCELLED', 'Cancelled')], default='CONFIRMED', max_length=10)),
                ('price_minor', models.PositiveIntegerField(default=0)),
                ('currency', models.CharField(max_length=3)),
                ('created_at', models.DateTimeField(db_default=slotbase.lib.clock.DatabaseNow(), editable=False)),
                ('cancelled_at', models.DateTimeField(blank=True, null=True)),
                ('cancel_reason', models.CharField(blank=True, max_length=500)),
                ('version', models.PositiveIntegerField(default=1)),
                ('cancelled_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('customer', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='bookings', to=settings.AUTH_USER_MODEL)),
                ('restored_from', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='bookings.booking')),
            ],
            options={
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='BookingHold',
            fields=[
                ('id', models.UUIDField(default=slotbase.lib.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('start_time', models.DateTimeField()),
                ('end_time', models.DateTimeField()),
                ('buffer_before_minutes', models.PositiveSmallIntegerField(default=0)),
                ('buffer_after_minutes', models.PositiveSmallIntegerField(default=0)),
                ('units', django.contrib.postgres.fields.ArrayField(base_field=models.PositiveSmallIntegerField(), size=None)),
                ('status', models.CharField(choices=[('ACTIVE', 'Active'), ('CONFIRMED', 'Confirmed'), ('EXPIRED', 'Expired'), ('RELEASED', 'Released')], default='ACTIVE', max_length=10)),
                ('source', models.CharField(choices=[('CUSTOMER', 'Customer'), ('STAFF', 'Staff'), ('WAITLIST', 'Waitlist'), ('MOVE', 'Move'), ('LATE_PAYMENT', 'Late Payment')], default='CUSTOMER', max_length=12)),
                ('price_minor', models.PositiveIntegerField(default=0)),
                ('currency', models.CharField(max_length=3)),
                ('created_at', models.DateTimeField(db_default=slotbase.lib.clock.DatabaseNow(), editable=False)),
                ('expires_at', models.DateTimeField()),
                ('released_at', models.DateTimeField(blank=True, null=True)),
                ('customer', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='holds', to=settings.AUTH_USER_MODEL)),
                ('moves', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='move_holds', to='bookings.booking')),
            ],
            options={
                'ordering': ('-id',),
            },
        ),
        migrations.AddField(
            model_name='booking',
            name='hold',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='booking', to='bookings.bookinghold'),
        ),
        migrations.CreateModel(
            name='Resource',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('slug', models.SlugField()),
                ('name', models.CharField(max_length=200)),
                ('kind', models.CharField(choices=[('COURT', 'Court'), ('COACH', 'Coach'), ('ROOM', 'Room'), ('CLASS', 'Class'), ('OTHER', 'Other')], max_length=10)),
                ('step_minutes', models.PositiveSmallIntegerField(default=30, help_text='Slots start on this grid, counted from the opening, and last a multiple of it.', validators=[django.core.validators.MinValueValidator(5)])),
                ('min_minutes', models.PositiveSmallIntegerField(default=30)),
                ('max_minutes', models.PositiveSmallIntegerField(default=120)),
                ('buffer_before_minutes', models.PositiveSmallIntegerField(default=0)),
                ('buffer_after_minutes', models.PositiveSmallIntegerField(default=0)),
                ('notice_minutes', models.PositiveIntegerField(default=0, help_text='How long before its start a slot can be booked at last.')),
                ('horizon_days', models.PositiveSmallIntegerField(default=60, help_text='How far ahead slots can be booked.')),
                ('price_minor', models.PositiveIntegerField(default=0, help_text='Price of one step of one unit, in minor units (cents).')),
                ('tax_rate', models.DecimalField(decimal_places=2, default=0, max_digits=5)),
                ('payment_mode', models.CharField(choices=[('FREE', 'Free'), ('ONLINE', 'Online'), ('AT_VENUE', 'At Venue'), ('EITHER', 'Either')], default='FREE', max_length=10)),
                ('requires_check_in', models.BooleanField(default=False)),
                ('is_bookable', models.BooleanField(default=True)),
                ('coach', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='coached_resources', to=settings.AUTH_USER_MODEL)),
                ('venue', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='resources', to='accounts.venue')),
            ],
            options={
                'ordering': ('venue', 'name'),
            },
        ),
        migrations.CreateModel(
            name='OpeningHours',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('weekday', models.PositiveSmallIntegerField(choices=[(0, 'Monday'), (1, 'Tuesday'), (2, 'Wednesday'), (3, 'Thursday'), (4, 'Friday'), (5, 'Saturday'), (6, 'Sunday')])),
                ('opens', models.TimeField()),
                ('closes', models.TimeField()),
                ('resource', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='opening_hours', to='bookings.resource')),
            ],
            options={
                'verbose_name_plural': 'opening hours',
                'ordering': ('resource', 'weekday', 'opens'),
            },
        ),
        migrations.CreateModel(
            name='DateException',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('date', models.DateField(help_text="In the venue's local time.")),
                ('kind', models.CharField(choices=[('HOURS', 'Special hours instead of the weekly ones'), ('CLOSED', 'Closed')], max_length=10)),
                ('opens', models.TimeField(blank=True, help_text='Empty: all day.', null=True, verbose_name='from')),
                ('closes', models.TimeField(blank=True, null=True, verbose_name='until')),
                ('note', models.CharField(blank=True, max_length=200)),
                ('venue', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='date_exceptions', to='accounts.venue')),
                ('resource', models.ForeignKey(blank=True, help_text='Empty: the whole venue.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='date_exceptions', to='bookings.resource')),
            ],
            options={
                'ordering': ('-date',),
            },
        ),
        migrations.AddField(
            model_name='bookinghold',
            name='resource',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='holds', to='bookings.resource'),
        ),
        migrations.AddField(
            model_name='booking',
            name='resource',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='bookings', to='bookings.resource'),
        ),
        migrations.CreateModel(
            name='ResourceUnit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveSmallIntegerField()),
                ('retired_at', models.DateTimeField(blank=True, null=True)),
                ('resource', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='units', to='bookings.resource')),
            ],
            options={
                'ordering': ('resource', 'number'),
            },
        ),
        migrations.CreateModel(
            name='SlotClaim',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('during', django.contrib.postgres.fields.ranges.DateTimeRangeField()),
                ('closure', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='claims', to='bookings.dateexception')),
                ('hold', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='claims', to='bookings.bookinghold')),
                ('unit', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='claims', to='bookings.resourceunit')),
            ],
        ),
        migrations.AddConstraint(
            model_name='resource',
            constraint=models.UniqueConstraint(fields=('venue', 'slug'), name='bookings_resource_slug'),
        ),
        migrations.AddConstraint(
            model_name='resource',
            constraint=models.CheckConstraint(condition=models.Q(('step_minutes__gte', 5), ('min_minutes__gte', models.F('step_minutes')), ('max_minutes__gte', models.F('min_minutes'))), name='bookings_resource_lengths'),
        ),
        migrations.AddConstraint(
            model_name='resource',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('payment_mode', 'FREE'), _negated=True), ('price_minor', 0), _connector='OR'), name='bookings_resource_free_costs_nothing'),
        ),
        migrations.AddConstraint(
            model_name='resource',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['COURT', 'COACH', 'ROOM', 'CLASS', 'OTHER']), ('payment_mode__in', ['FREE', 'ONLINE', 'AT_VENUE', 'EITHER'])), name='bookings_resource_choices'),
        ),
        migrations.AddConstraint(
            model_name='openinghours',
            constraint=models.CheckConstraint(condition=models.Q(('weekday__lte', 6)), name='bookings_hours_weekday'),
        ),
        migrations.AddConstraint(
            model_name='openinghours',
            constraint=models.UniqueConstraint(fields=('resource', 'weekday', 'opens'), name='bookings_hours_once'),
        ),
        migrations.AddIndex(
            model_name='dateexception',
            index=models.Index(fields=['venue', 'date'], name='bookings_exception_day'),
        ),
        migrations.AddConstraint(
            model_name='dateexception',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'CLOSED'), ('opens__isnull', True), ('closes__isnull', True)), models.Q(('kind__in', ['HOURS', 'CLOSED']), ('closes__isnull', False), ('opens__isnull', False)), _connector='OR'), name='bookings_exception_times'),
        ),
        migrations.AddIndex(
            model_name='bookinghold',
            index=models.Index(condition=models.Q(('status', 'ACTIVE')), fields=['expires_at'], name='bookings_hold_due'),
        ),
        migrations.AddIndex(
            model_name='bookinghold',
            index=models.Index(condition=models.Q(('status', 'ACTIVE')), fields=['customer', 'expires_at'], name='bookings_hold_of_customer'),
        ),
        migrations.AddIndex(
            model_name='bookinghold',
            index=models.Index(condition=models.Q(('status__in', ['EXPIRED', 'RELEASED'])), fields=['released_at'], name='bookings_hold_to_purge'),
        ),
        migrations.AddConstraint(
            model_name='bookinghold',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['ACTIVE', 'CONFIRMED', 'EXPIRED', 'RELEASED']), ('source__in', ['CUSTOMER', 'STAFF', 'WAITLIST', 'MOVE', 'LATE_PAYMENT'])), name='bookings_hold_choices'),
        ),
        migrations.AddConstraint(
            model_name='bookinghold',
            constraint=models.CheckConstraint(condition=models.Q(('end_time__gt', models.F('start_time'))), name='bookings_hold_length'),
        ),
        migrations.AddConstraint(
            model_name='bookinghold',
            constraint=models.CheckConstraint(condition=models.Q(('units__len__gte', 1)), name='bookings_hold_has_units'),
        ),
        migrations.AddConstraint(
            model_name='bookinghold',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('released_at__isnull', False), ('status__in', ['EXPIRED', 'RELEASED'])), models.Q(('released_at__isnull', True), ('status__in', ['ACTIVE', 'CONFIRMED'])), _connector='OR'), name='bookings_hold_released_at'),
        ),
        migrations.AddIndex(
            model_name='booking',
            index=models.Index(fields=['customer', '-id'], name='bookings_booking_of_customer'),
        ),
        migrations.AddIndex(
            model_name='booking',
            index=models.Index(fields=['resource', 'start_time'], name='bookings_booking_day'),
        ),
        migrations.AddIndex(
            model_name='booking',
            index=models.Index(condition=models.Q(('status__in', ['CONFIRMED', 'CHECKED_IN'])), fields=['end_time'], name='bookings_booking_ending'),
        ),
        migrations.AddConstraint(
            model_name='booking',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['CONFIRMED', 'CHECKED_IN', 'COMPLETED', 'NO_SHOW', 'CANCELLING', 'CANCELLED'])), name='bookings_booking_choices'),
        ),
        migrations.AddConstraint(
            model_name='booking',
            constraint=models.CheckConstraint(condition=models.Q(('end_time__gt', models.F('start_time'))), name='bookings_booking_length'),
        ),
        migrations.AddConstraint(
            model_name='booking',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('cancelled_at__isnull', False), ('status', 'CANCELLED')), models.Q(models.Q(('status', 'CANCELLED'), _negated=True), ('cancelled_at__isnull', True)), _connector='OR'), name='bookings_booking_cancelled_at'),
        ),
        migrations.AddConstraint(
            model_name='resourceunit',
            constraint=models.UniqueConstraint(fields=('resource', 'number'), name='bookings_unit_number'),
        ),
        migrations.AddConstraint(
            model_name='resourceunit',
            constraint=models.CheckConstraint(condition=models.Q(('number__gte', 1)), name='bookings_unit_from_one'),
        ),
        migrations.AddConstraint(
            model_name='slotclaim',
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(expressions=[(models.Func('unit', 'unit', models.Value('[]'), function='int8range'), '&&'), ('during', '&&')], name='bookings_slotclaim_no_overlap'),
        ),
        migrations.AddConstraint(
            model_name='slotclaim',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('closure__isnull', True), ('hold__isnull', False)), models.Q(('closure__isnull', False), ('hold__isnull', True)), _connector='OR'), name='bookings_slotclaim_one_owner'),
        ),
        migrations.AddConstraint(
            model_name='slotclaim',
            constraint=models.CheckConstraint(condition=models.Q(('during__isempty', False), ('during__startswith__isnull', False), ('during__endswith__isnull', False)), name='bookings_slotclaim_not_empty'),
        ),
    ]
