"""Recordings, and the store that holds them. Knows no job: plain values in."""
