# SPDX-License-Identifier: MIT
"""What the tools share: starting a machine, talking to its monitor, judging what it says."""
