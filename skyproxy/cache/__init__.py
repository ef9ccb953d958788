"""Answers that are given again: kept in a store, or shared while they are under way."""
