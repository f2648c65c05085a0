"""Market-400/100: for choosing settings without looking at the 251 test identities of Market-500/251."""

from training.data.datasets.market_500_251 import Market500251


class Market400100(Market500251):
    """The 500 training identities of Market-500/251, split again: the first 400 train, the last 100 test."""

    protocol = "Market-400/100 (the last 100 of the 500 training identities)"
    train_identities = slice(0, 400)
    test_identities = slice(400, 500)
