# SPDX-License-Identifier: PostgreSQL
"""Shared helpers of the tests and the demo."""
