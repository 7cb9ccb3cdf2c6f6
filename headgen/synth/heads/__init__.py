"""Heads of the synthetic world: one protocol, two models."""
