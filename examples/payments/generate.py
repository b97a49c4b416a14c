#!/usr/bin/env python3
"""Made-up payments, one JSON object a line, or what becomes of them.

    generate.py COUNT [SEED]               print COUNT messages
    generate.py --expected COUNT [SEED]    print what result.sql finds after them
    generate.py --ids COUNT [SEED]         print their ids

Amounts are exact: as many digits as numeric holds, and zeros at the end count.
A few payers have no account.  The same seed gives the same messages, and fewer
of them are the first of more.
"""

import sys
from datetime import datetime, timedelta
from hashlib import md5
from random import Random
from uuid import UUID

CURRENCIES = ['EUR', 'USD', 'CHF', 'JPY', 'GBP']
EPOCH = datetime(2024, 2, 1)


def payments(count, seed):
    """Yields (message, values): the text, and what the table must hold."""
    rand = Random(seed)
    for n in range(count):
        payment = UUID(int=rand.getrandbits(128))
        amount = rand.choice((f'{rand.randrange(10**5)}.{rand.randrange(100):02}', f'{rand.randrange(10**6)}',
                              f'{10**24 + rand.randrange(10**24)}.{rand.randrange(10**9):09}0'))
        currency = rand.choice(CURRENCIES)
        number = rand.randrange(505)
        account = f'ACC{number * 7919 % 10000:06}' if number < 500 else 'NULL'
        received = EPOCH + timedelta(seconds=n, microseconds=rand.randrange(10**6))
        stamp = received.isoformat(timespec='microseconds')
        # an amount is a number, or a string for those whose numbers are floats
        quote = '"' if rand.random() < 0.3 else ''
        yield (f'{{"payment_id": "{payment}", "amount": {quote}{amount}{quote}, "currency": "{currency}", '
               f'"payer": "payer-{number}", "received_at": "{stamp}Z"}}',
               (str(payment), amount, currency, f'payer-{number}', stamp.replace('T', ' '), account))


def main(args):
    what = [arg for arg in args if arg in ('--expected', '--ids')]
    numbers = [int(arg) for arg in args if arg not in what]
    if not 1 <= len(numbers) <= 2:
        sys.exit(__doc__)
    count, seed = (numbers + [1])[:2]
    if '--expected' in what:
        total = sum(int(md5('|'.join(values).encode()).hexdigest()[:15], 16) for _, values in payments(count, seed))
        print(f'{count}|{count}|{total}')
    else:
        for message, values in payments(count, seed):
            print(values[0] if what else message)


if __name__ == '__main__':
    main(sys.argv[1:])
