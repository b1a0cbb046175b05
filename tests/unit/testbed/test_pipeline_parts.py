"""The pure parts of the workload `pipeline`: the numbers, the ledger, and what is sent again."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maro.testbed.workloads.pipeline.deliveries import Deliveries
from maro.testbed.workloads.pipeline.factoring import (
    LARGE_BITS,
    SMALL,
    divide_out,
    factorise,
    is_prime,
    make_number,
    primes_below,
)
from maro.testbed.workloads.pipeline.items import Item, Ledger, Total
from maro.testbed.workloads.pipeline.source import make_numbers
from maro.testbed.workloads.pipeline.stage import MAKERS, RoundRobin

PRIMES = primes_below(10_000)
PATIENCE_S = 2.0
STEPS = ["wait", "arrive", "lose", "confirm", "forget", "die"]


def item(*factors: int) -> Item:
    """An item with nothing left to find."""
    return Item("source.0", "run", 1, factors)


class TestFactoring:
    @pytest.mark.parametrize("limit", [0, 1, 2, 3, 4, 5, 100])
    def test_primes_below_are_those_without_a_divisor(self, limit: int) -> None:
        """Given a limit, When the sieve runs, Then it leaves what no smaller number divides."""
        assert primes_below(limit) == [n for n in range(2, limit) if all(n % d for d in range(2, n))]

    def test_the_test_of_primality_agrees_with_the_sieve(self) -> None:
        """Given every number below ten thousand, Then both name the same primes."""
        assert [number for number in range(10_000) if is_prime(number)] == PRIMES

    @pytest.mark.parametrize("number", [561, 3_215_031_751, 3_825_123_056_546_413_051])
    def test_numbers_that_deceive_weaker_tests_are_no_primes(self, number: int) -> None:
        """Given a Carmichael number or a strong pseudoprime to several bases, Then it is called composite."""
        assert not is_prime(number)

    @given(st.integers(1, 10**12))
    def test_the_factors_of_any_number_are_primes_that_multiply_to_it(self, number: int) -> None:
        """Given a number, When it is taken apart, Then the parts are primes, in order, that multiply to it."""
        factors = factorise(number)
        assert math.prod(factors) == number
        assert factors == sorted(factors)
        assert all(map(is_prime, factors))

    @given(st.lists(st.sampled_from(PRIMES), max_size=6))
    def test_the_factors_that_went_in_come_out(self, factors: list[int]) -> None:
        """Given primes, some perhaps equal, When their product is taken apart, Then they are found."""
        assert factorise(math.prod(factors)) == sorted(factors)

    @given(st.integers(1, 10**9))
    def test_what_is_divided_out_and_what_is_left_make_the_number(self, number: int) -> None:
        """Given a number, When small primes are divided out, Then none of them divides what is left."""
        found, rest = divide_out(number, PRIMES[:20])
        assert math.prod(found) * rest == number
        assert all(rest % prime for prime in PRIMES[:20])

    def test_the_two_stages_together_find_what_was_put_in(self) -> None:
        """Given a made number, When both kinds of stages have worked on it, Then its factors are known."""
        sieve, factor = MAKERS["sieve"](), MAKERS["factor"]()
        for factors in make_numbers(5, seed=3):
            small, rest = sieve(math.prod(factors))
            large, left = factor(rest)
            assert (small + large, left) == (factors, 1)

    def test_made_numbers_follow_their_seed(self) -> None:
        """Given a seed, Then the numbers are the same, with two large factors each, and another seed's differ."""
        numbers = make_numbers(20, seed=1)
        assert numbers == make_numbers(20, seed=1) != make_numbers(20, seed=2)
        for factors in numbers:
            large = [factor for factor in factors if factor >= SMALL]
            assert [LARGE_BITS[0] <= factor.bit_length() <= LARGE_BITS[1] for factor in large] == [True, True]

    @given(st.integers(0, 2**32))
    def test_any_draw_is_of_primes(self, seed: int) -> None:
        """Given any random numbers, When a number is drawn, Then it is given as primes."""
        assert all(map(is_prime, make_number(random.Random(seed), PRIMES)))


class TestLedger:
    def test_an_item_that_comes_twice_counts_once(self) -> None:
        """Given a ledger, When a session comes again, Then the total stays."""
        ledger = Ledger("key")
        assert ledger.enter("session-1", item(2, 3))
        assert not ledger.enter("session-1", item(2, 3))
        assert ledger.enter("session-2", item(2, 3))
        assert ledger.total == Total(items=2, factors=4, sum=10)

    def test_an_item_collects_what_stages_find(self) -> None:
        """Given an item, When two stages have worked on it, Then it has the factors and the stages of both."""
        start = Item("source.0", "run", 42)
        end = start.after(("sieve.0", 1.0), [2, 3], 7).after(("factor.0", 2.0), [7], 1)
        assert (end.number, end.factors, end.visits) == (1, (2, 3, 7), (("sieve.0", 1.0), ("factor.0", 2.0)))
        assert start == Item("source.0", "run", 42)


class TestRoundRobin:
    def test_it_takes_everybody_in_turn_and_copes_with_changes(self) -> None:
        """Given names that come and go, When it chooses, Then each is as often chosen, and nobody where nobody is."""
        robin = RoundRobin()
        assert sorted(robin.choose(["a", "b", "c"]) or "" for _ in range(6)) == ["a", "a", "b", "b", "c", "c"]
        assert robin.choose([]) is None
        assert {robin.choose(["a", "b"]) for _ in range(2)} == {"a", "b"}


class TestDeliveries:
    def test_no_more_than_the_window_is_on_its_way(self) -> None:
        """Given a window of three, When one item is confirmed, Then one more is sent."""
        deliveries = Deliveries(5, 3, PATIENCE_S)
        assert deliveries.take_due(0.0) == [0, 1, 2]
        assert deliveries.take_due(0.1) == []
        assert deliveries.confirm(1, "ledger")
        assert deliveries.take_due(0.2) == [3]

    def test_what_is_not_confirmed_is_sent_again_less_and_less_often(self) -> None:
        """Given an item without confirmation, Then it is sent after 2, 4, 8 and 8 s more."""
        deliveries = Deliveries(1, 3, PATIENCE_S)
        times, now = [], 0.0
        assert deliveries.next_due_s() == math.inf
        for _ in range(5):
            assert deliveries.take_due(now) == [0]
            times.append(now)
            now = deliveries.next_due_s()
            assert deliveries.take_due(now - 0.01) == []
        assert times == [0.0, 2.0, 6.0, 14.0, 22.0]
        assert deliveries.repeats == 4

    def test_a_confirmation_counts_once(self) -> None:
        """Given a confirmed item, When it is confirmed again, Then that is no news."""
        deliveries = Deliveries(1, 3, PATIENCE_S)
        deliveries.take_due(0.0)
        assert deliveries.confirm(0, "ledger")
        assert deliveries.complete
        assert not deliveries.confirm(0, "ledger")

    def test_a_new_ledger_makes_everything_due_again(self) -> None:
        """Given confirmed items, When the sink has another ledger, Then only what is in that one counts."""
        deliveries = Deliveries(3, 3, PATIENCE_S)
        deliveries.take_due(0.0)
        deliveries.confirm(0, "old")
        deliveries.confirm(1, "old")
        assert deliveries.confirm(2, "new")
        assert deliveries.confirmed == {2}
        assert deliveries.take_due(0.1) == [0, 1]
        assert not deliveries.confirm(0, "old")
        assert (deliveries.lost_ledgers, deliveries.ledger, deliveries.complete) == (1, "new", False)

    @given(st.data())
    def test_every_item_ends_up_once_in_the_ledger_that_is_left(self, data: st.DataObject) -> None:
        """Given items and confirmations that are lost or doubled, and a sink that dies, Then all arrive once."""
        count = data.draw(st.integers(1, 8), "items")
        deliveries = Deliveries(count, data.draw(st.integers(1, 4), "window"), PATIENCE_S)
        keys = (f"ledger-{number}" for number in itertools.count())
        ledger = Ledger(next(keys))
        way: list[int] = []
        back: list[tuple[int, str]] = []
        now = 0.0

        def arrive(number: int) -> None:
            ledger.enter(f"session-{number}", item(number + 2))
            back.append((number, ledger.key))

        for step in data.draw(st.lists(st.sampled_from(STEPS), max_size=40)):
            way += deliveries.take_due(now)
            if step == "wait":
                now = min(deliveries.next_due_s(), now + PATIENCE_S)
            elif step == "die":
                ledger = Ledger(next(keys))
            elif step in ("confirm", "forget") and back:
                confirmation = back.pop(0)
                if step == "confirm":
                    deliveries.confirm(*confirmation)
            elif step in ("arrive", "lose") and way:
                number = way.pop(data.draw(st.integers(0, len(way) - 1)))
                if step == "arrive":
                    arrive(number)

        for _ in range(20 * count):  # from here on nothing is lost any more
            for number in way + deliveries.take_due(now):
                arrive(number)
            way.clear()
            while back:
                deliveries.confirm(*back.pop(0))
            deliveries.found(ledger.key)
            if deliveries.complete:
                break
            now += PATIENCE_S
        assert deliveries.complete
        assert ledger.total == Total(count, count, sum(range(2, count + 2)))
