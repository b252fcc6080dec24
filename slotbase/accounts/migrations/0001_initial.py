
import django.core.validators
import django.db.models.deletion
import slotbase.accounts.models
import slotbase.lib.clock
import slotbase.lib.ids
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('lib', '0001_slotbase_now'),
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.CreateModel(
            name='RevokedSession',
            fields=[
                ('session_id', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('revoked_at', models.DateTimeField(db_default=slotbase.lib.clock.DatabaseNow())),
            ],
        ),
        migrations.CreateModel(
            name='SigningKeySet',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('jwks', models.JSONField()),
                ('fetched_at', models.DateTimeField(null=True)),
                ('attempted_at', models.DateTimeField(null=True)),
                ('failed_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Venue',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('slug', models.SlugField(unique=True)),
                ('name', models.CharField(max_length=200)),
                ('time_zone', models.CharField(max_length=64, validators=[slotbase.accounts.models.validate_time_zone])),
                ('currency', models.CharField(max_length=3, validators=[django.core.validators.RegexValidator('^[A-Z]{3}\\Z', 'An ISO 4217 code, such as EUR.')])),
                ('address', models.TextField(blank=True)),
                ('quiet_from', models.TimeField(blank=True, null=True)),
                ('quiet_until', models.TimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ('name',),
            },
        ),
        migrations.CreateModel(
            name='User',
            fields=[
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('id', models.UUIDField(default=slotbase.lib.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('clerk_id', models.CharField(blank=True, max_length=64, null=True, unique=True)),
                ('username', models.CharField(blank=True, max_length=64, null=True, unique=True)),
                ('name', models.CharField(blank=True, max_length=200)),
                ('email', models.EmailField(blank=True, max_length=254)),
                ('phone', models.CharField(blank=True, max_length=40)),
                ('locale', models.CharField(default='en', max_length=10)),
                ('is_active', models.BooleanField(default=True)),
                ('is_staff', models.BooleanField(default=False)),
                ('created_at', models.DateTimeField(db_default=slotbase.lib.clock.DatabaseNow(), editable=False)),
                ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
            ],
            options={
                'permissions': (('see_contact_data', 'Can see contact data of customers'),),
            },
        ),
        migrations.CreateModel(
            name='VenueStaff',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL)),
                ('venue', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='accounts.venue')),
            ],
            options={
                'verbose_name_plural': 'venue staff',
            },
        ),
        migrations.AddField(
            model_name='venue',
            name='staff',
            field=models.ManyToManyField(blank=True, related_name='venues', through='accounts.VenueStaff', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.CheckConstraint(condition=models.Q(('is_staff', False), models.Q(('clerk_id__isnull', True), ('username__isnull', False)), _connector='OR'), name='accounts_user_staff_use_a_login'),
        ),
        migrations.AddConstraint(
            model_name='venuestaff',
            constraint=models.UniqueConstraint(fields=('user', 'venue'), name='accounts_venuestaff_once'),
        ),
    ]
