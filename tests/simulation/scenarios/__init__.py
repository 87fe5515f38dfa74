"""Faults that were found once, each as a named scenario: events in their order, no seed. They stay."""
