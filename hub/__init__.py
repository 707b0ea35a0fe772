"""A real-time system-metrics broadcast hub: one sampler, any number of subscribers."""

__version__ = "0.1.0"
