"""Methods: what is learnt from which labels, one file each.

A method is a module that holds what only training needs (class weights, banks) and answers three questions:

    epoch(rng) -> batches      index arrays into the crops, one per step
    loss(outputs, batch) -> (scalar, numbers for the log)
    diagnose(outputs, batch) -> [warnings]
"""
