"""The room jobd/metrics."""
