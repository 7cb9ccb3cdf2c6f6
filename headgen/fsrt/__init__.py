"""FSRT: a portrait moves as the face in a driving video does (arXiv 2404.09736), in full size and small.

The parts are imported by name (`headgen.fsrt.model`, `.checkpoints`, `.full_engine`, `.small`, ...), so that
what needs no torch loads none.
"""
