from labkit.display import Throttle


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def draw(throttle, clock, seconds):
    with throttle.drawing():
        clock.now += seconds


def test_the_first_drawings_come_at_once_then_after_a_pause():
    clock = Clock()
    throttle = Throttle(first=2, pause=0.5, share=0.1, clock=clock)
    for _ in range(2):
        assert throttle.ready()
        draw(throttle, clock, 0)
    assert not throttle.ready()
    clock.now += 0.5
    assert throttle.ready()


def test_costly_drawings_are_rare():
    clock = Clock()
    throttle = Throttle(first=0, pause=0.5, share=0.01, clock=clock)
    spent = 0
    for _ in range(100_000):
        clock.now += 0.01
        if throttle.ready():
            draw(throttle, clock, 0.02)
            spent += 0.02
    assert 0.008 < spent / clock.now <= 0.0101
