# SPDX-License-Identifier: Apache-2.0
"""What nodes share: messages to values and back, parameters, diagnostics, peers, runtime."""
