"""Comparing models that differ in one thing: specifications, runs at equal wall-clock, what they are judged by, reports."""
