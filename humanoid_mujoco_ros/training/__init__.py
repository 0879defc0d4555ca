# SPDX-License-Identifier: Apache-2.0
"""Training and evaluation of policies; torch is imported only to train."""
