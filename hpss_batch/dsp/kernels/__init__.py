"""Compiled code: LLVM instructions written for a processor, and the passes over memory that run them."""
