"""Methods: what is learnt from which labels, one file each.

A method is a module that holds what only training needs (class weights, banks) and answers these calls:

    sampler                               how large a batch is, how many an epoch has, how processes share one
    epoch(rng, done, extract) -> batches  indices of the crops, one array per step; ``done`` is the share of the run
                                          before it, ``extract(output)`` the network's view of all crops, [N, D]
    method(network, images, batch, noise) -> (scalar, numbers for the log); the network is called here
    update()                              banks and centres, once ``backward()`` is done
    diagnose() -> [warnings]              what is wrong with training, once an epoch
    report() -> {name: number}            of the epoch, for the log; ``clusters`` and ``ari`` stand beside the bar too

Its constructor may name ``records`` (the crops' labels and cameras), ``together`` (groups of tracklets that are of one
person), ``apart`` (pairs that are of two), ``losses``, ``sampler``, ``schedule``, ``dims``, ``weights`` and ``recipe``,
and gets them. One that names no ``losses`` has a loss of its own, and recipes give none.
The sampler may be another one in each epoch, of the same batches: where labels come and go, the recipe's
``sampler: {batches: 200}`` says how many an epoch has. Under several processes a batch is this process's part, and
`training.distributed.gather` gives the whole. A method that can learn from labelled records besides (``source``) says
``takes_source = True``.
"""
