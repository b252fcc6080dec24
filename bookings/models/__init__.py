"""What can be booked, who occupies it, and the bookings."""

from bookings.models.catalogue import CancellationPolicy as CancellationPolicy
from bookings.models.catalogue import CancellationTier as CancellationTier
from bookings.models.catalogue import DateException as DateException
from bookings.models.catalogue import OpeningHours as OpeningHours
from bookings.models.catalogue import Resource as Resource
from bookings.models.catalogue import ResourceUnit as ResourceUnit
from bookings.models.feedback import Drill as Drill
from bookings.models.feedback import SessionFeedback as SessionFeedback
from bookings.models.feedback import Skill as Skill
from bookings.models.feedback import TokenBudget as TokenBudget
from bookings.models.sales import Booking as Booking
from bookings.models.sales import BookingHold as BookingHold
from bookings.models.sales import SlotClaim as SlotClaim
from bookings.models.waitlist import WaitlistEntry as WaitlistEntry
