"""`doctor`: what is wrong with this Redis, its queues, this host and the others, and what mends it."""

from jobd.operations.doctor.diagnose import diagnose

__all__ = ["diagnose"]
