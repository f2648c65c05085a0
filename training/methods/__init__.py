"""Methods: what is learnt from which labels, one file each.

A method is a module that holds what only training needs (class weights, banks) and answers these questions:

    epoch(rng) -> batches      index tensors into the crops, one per step
    loss(outputs, batch) -> (scalar, numbers for the log)
    diagnose(outputs, batch) -> [warnings]
    batch_size, steps_per_epoch

Its constructor may name ``pids``, ``losses``, ``sampler``, ``dims`` and ``recipe``, and gets them.
"""
