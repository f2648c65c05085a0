"""Heads: from a backbone's feature map to named vectors, one file each.

A head is a module whose constructor names ``channels`` and gets them, with ``dim`` (D of the embedding) and ``dims``
({output: its dimension}). It maps a feature map [N, channels, h, w] to a dictionary of vectors [N, ·], of which
``features`` [N, D] becomes the embedding. What else it returns, and does not name in ``dims``, are weights for losses
that regularise them. A head that also takes the two maps of some backbones says ``channels: int | tuple[int, int]``.
"""
