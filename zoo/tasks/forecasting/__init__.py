"""Forecasting: the past of one or many series in, their future with its uncertainty out."""
