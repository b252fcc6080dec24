"""Messages, the devices and addresses they go to, and what people want to hear of."""

from notifications.models.addressees import Choice as Choice
from notifications.models.addressees import Suppression as Suppression
from notifications.models.budgets import SendBudget as SendBudget
from notifications.models.devices import PushDevice as PushDevice
from notifications.models.messages import Notification as Notification
from notifications.models.messages import NotificationAttempt as NotificationAttempt
from notifications.models.messages import key_of as key_of
