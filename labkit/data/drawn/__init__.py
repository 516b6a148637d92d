"""Drawn blood cells with exact masks: what the labs run on when the real data cannot be had."""
