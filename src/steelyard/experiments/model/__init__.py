"""Pure: assignment, sequential statistics, what an experiment is."""
