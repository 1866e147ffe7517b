"""Readers: files and Hub data sets to arrays, with every check that they allow."""
