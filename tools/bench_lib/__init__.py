# SPDX-License-Identifier: PostgreSQL
"""The parts that the benchmarks share."""
