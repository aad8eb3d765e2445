# SPDX-License-Identifier: PostgreSQL
"""The parts of tools/demo."""
