import time

import torch

import labkit as lk


def test_the_mark_keeps_to_the_size_and_the_clock(make_split):
    train = make_split(256, 0, 28)
    assert lk.models.count_parameters(lk.models.quick_net()) == 79_768
    lk.seed_everything(0)
    before = lk.models.quick_net().state_dict()
    lk.seed_everything(0)
    start = time.perf_counter()
    network = lk.models.quick_training(train, seconds=1)
    assert time.perf_counter() - start < 6  # a batch may be under way when the time is over
    assert not network.training
    after = network.model.state_dict()
    assert any(not torch.equal(before[name], after[name].cpu()) for name in before)
    assert lk.evaluate(network, make_split(16, 1, 28).loader(8)).logits.shape == (16, 8)
