"""Delivery of webhooks from the outbox: claim → sign → send → judge → settle, one step per file."""

from alerts.delivery.deliver import Deliverer, DeliveryPolicy
from alerts.delivery.receiver import Receiver
from alerts.delivery.schedule import Schedule

__all__ = ["Deliverer", "DeliveryPolicy", "Receiver", "Schedule"]
