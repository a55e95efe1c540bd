"""The stages, as values for the pump: CREATE, CHECK, CALLBACK, CLOCK, PUBLISH, DELIVER, RETAIN."""

from workers.stages.callbacks import callbacks
from workers.stages.clock import clock
from workers.stages.deliver import DeliverStage
from workers.stages.drift import DriftWatch
from workers.stages.provider import ProviderStages
from workers.stages.publish import publish
from workers.stages.retain import retain
from workers.stages.watch import watching

__all__ = ["DeliverStage", "DriftWatch", "ProviderStages", "callbacks", "clock", "publish", "retain", "watching"]
