"""Prime factors: taking numbers apart is work, and whoever made the numbers knows the answer. Pure.

The work is cut in two, for two stages: small factors by trial division, the large rest by Pollard's rho method in
Brent's variant (Pollard, 1975, BIT 15; Brent, 1980, BIT 20). Rho alone would do, but slowly, and only for what is left.
"""

from __future__ import annotations

import itertools
import math
import random

SMALL = 1 << 20
"""Trial division finds the prime factors below this."""
LARGE_BITS = (30, 34)
"""The two large prime factors of a made number have at least and at most so many bits."""
_SMALL_FACTORS = 4
_GCD_EVERY = 128
"""Steps of the rho method between two greatest common divisors, which cost more than a step."""
_WITNESSES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)
"""They tell primes from composites below 3.3e24 (Sorenson and Webster, 2017, Math. Comp. 86)."""


def primes_below(limit: int) -> list[int]:
    """The primes below a limit, in order, by the sieve of Eratosthenes."""
    is_candidate = bytearray([0, 0]) + bytearray([1]) * max(0, limit - 2)
    for number in range(2, math.isqrt(max(limit, 1)) + 1):
        if is_candidate[number]:
            multiples = range(number * number, limit, number)
            is_candidate[number * number :: number] = bytes(len(multiples))
    return list(itertools.compress(range(limit), is_candidate))


def make_number(rng: random.Random, small_primes: list[int]) -> list[int]:
    """Draw the prime factors of a number, sorted: some small ones, and two large ones."""
    small = rng.choices(small_primes, k=rng.randint(0, _SMALL_FACTORS))
    return sorted([*small, _draw_prime(rng), _draw_prime(rng)])


def divide_out(number: int, primes: list[int]) -> tuple[list[int], int]:
    """Divide a number by each of some primes as often as it goes.

    Returns:
        The factors found, sorted, and what is left.
    """
    factors = []
    for prime in primes:
        while number % prime == 0:
            factors.append(prime)
            number //= prime
    return factors, number


def factorise(number: int) -> list[int]:
    """The prime factors of a number from 1 to 3e24, sorted; fast where at most one of them is above 2**40."""
    if number == 1:
        return []
    if is_prime(number):
        return [number]
    divisor = _find_divisor(number)
    return sorted(factorise(divisor) + factorise(number // divisor))


def is_prime(number: int) -> bool:
    """Whether a number below 3.3e24 is prime, by the test of Miller and Rabin."""
    if number < 2 or number in _WITNESSES:
        return number in _WITNESSES
    if any(number % witness == 0 for witness in _WITNESSES):
        return False
    twos = (number - 1 & 1 - number).bit_length() - 1
    return all(_passes(number, witness, twos) for witness in _WITNESSES)


def _passes(number: int, witness: int, twos: int) -> bool:
    power = pow(witness, (number - 1) >> twos, number)
    for _ in range(twos):
        if power in (1, number - 1):
            return True
        power = power * power % number
        if power == 1:
            return False
    return False


def _find_divisor(number: int) -> int:
    """A divisor of a composite number, neither 1 nor the number."""
    if number % 2 == 0:
        return 2
    for increment in itertools.count(1):
        divisor = _rho(number, increment)
        if divisor != number:
            return divisor
    raise AssertionError("count() does not end")


def _rho(number: int, increment: int) -> int:
    """A divisor above 1, perhaps the number itself: the sequence x*x + increment repeats sooner modulo a divisor."""
    y = saved = x = 2
    divisor = length = product = 1
    while divisor == 1:
        x = y
        for _ in range(length):
            y = (y * y + increment) % number
        done = 0
        while done < length and divisor == 1:
            saved = y
            for _ in range(min(_GCD_EVERY, length - done)):
                y = (y * y + increment) % number
                product = product * abs(x - y) % number
            divisor = math.gcd(product, number)
            done += _GCD_EVERY
        length *= 2
    # Several divisors may have come together in the product: take the last steps one by one.
    while divisor == number:
        saved = (saved * saved + increment) % number
        single = math.gcd(abs(x - saved), number)
        if single > 1:
            return single
    return divisor


def _draw_prime(rng: random.Random) -> int:
    bits = rng.randint(*LARGE_BITS)
    while True:
        candidate = rng.getrandbits(bits) | 1 << (bits - 1) | 1
        if is_prime(candidate):
            return candidate
