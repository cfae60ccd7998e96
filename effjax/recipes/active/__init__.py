"""Labelling loops: train, score the pool, ask, train again."""
